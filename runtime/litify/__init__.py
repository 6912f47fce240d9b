"""litify: research code in LightningModules, engineering in the Trainer.

Every public name is loaded on first use, so that `import litify` needs no torch.
"""

__version__ = "0.1.0"
