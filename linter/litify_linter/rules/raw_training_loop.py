from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.training_loops import training_loops
from litify_linter.rule import Example, Finding, Rule

_BACKWARD = re.compile(r"\.\s*backward\b")
_UPDATE = re.compile(r"\.\s*(?:step|grad)\b")


class RawTrainingLoop(Rule):
    """A training loop written by hand: one that reaches `loss.backward()` and `optimizer.step()`.

    Why: Devices, precision, several GPUs, checkpoints and resuming have to be written again in each such loop.
    `litify convert` turns the script into a LightningModule, a LightningDataModule and a Trainer call, and
    `litify verify` shows that it still takes the same optimizer steps.

    Ignore when: The loop is the subject of the script, as in a tutorial. Reported are loops over data or epochs in functions that
    are named for training or that the script runs, and loops over batches in classes that make their own model. Never
    reported are tests, benchmarks and measurements (`tests/x.py`, `test_x.py`, `bench_x.py`, `def warmup()`), optimizers of inputs
    instead of weights, fits inside another algorithm, agents that act between the steps, classes whose base stands in another
    file or that are given their model, and loops of libraries that drive them.
    """

    code, name = "LIT901", "raw-training-loop"
    message = "Training loop written by hand; let a Trainer run it (`litify convert` rewrites the script)"
    visits = (ast.Module,)
    lightning_only = False
    words = ("backward",)
    examples = (
        Example(
            bad="""
            import torch

            model = torch.nn.Linear(2, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for x, y in loader:
                optimizer.zero_grad()
                loss = (model(x) - y).square().mean()
                loss.backward()
                optimizer.step()
            """,
            good="""
            import litify

            trainer = litify.Trainer(max_epochs=3)
            trainer.fit(module, loader)
            """,
        ),
        Example(
            bad="""
            import torch


            class Solver:
                def step(self, batch):
                    loss = self.model(batch).mean()
                    loss.backward()
                    self.optimizer.step()

                def train(self):
                    for batch in self.loader:
                        self.step(batch)
            """,
            good="""
            import torch
            from lightning import LightningModule


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False

                def training_step(self, batch, batch_idx):
                    optimizer = self.optimizers()
                    for part in batch.chunk(4):
                        optimizer.zero_grad()
                        self.manual_backward(self.loss(part))
                        optimizer.step()
            """,
        ),
        Example(
            bad="""
            import torch

            w = torch.tensor([1.0], requires_grad=True)
            for epoch in range(10):
                (w * 2 - 4).square().backward()
                w.data = w.data - 0.01 * w.grad.data
            """,
            good="""
            import torch

            for episode in range(10):
                state = env.reset()
                while not done:
                    state, done = env.step(policy(state))
            for x in inputs:
                saliency(x).backward()
                print(x.grad.abs().max())
            """,
        ),
    )

    @classmethod
    def wants(cls, text: str) -> bool:
        """Most files that speak of backward define or test it: without an update beside it there is no loop."""
        return _BACKWARD.search(text) is not None and _UPDATE.search(text) is not None

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """One finding per loop, at its header."""
        for loop in training_loops(here.file):
            yield Finding(self.code, self.name, self.message, *here.file.header_span(loop))
