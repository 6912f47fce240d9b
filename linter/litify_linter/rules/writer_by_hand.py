from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule

WRITERS = frozenset(
    {
        "torch.utils.tensorboard.SummaryWriter",
        "torch.utils.tensorboard.writer.SummaryWriter",
        "tensorboardX.SummaryWriter",
        "wandb.init",
        "wandb.log",
        "mlflow.start_run",
        "mlflow.log_metric",
        "mlflow.log_metrics",
    }
)


class WriterByHand(Rule):
    """A SummaryWriter, a Weights & Biases run or an MLflow run opened or written to by hand in a LightningModule.

    Why: Every process opens a file or a run of its own, and steps are counted apart from the Trainer's. `self.log` writes to
    whatever logger the Trainer was given; pictures go to `self.logger.experiment`.

    Ignore when: The module never trains under several processes and logs nothing through `self.log`.
    """

    code, name = "LIT605", "writer-by-hand"
    message = "`{call}` by hand: use `self.log`, or `self.logger.experiment`, with `Trainer(logger=...)`"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            from litify import LightningModule
            from torch.utils.tensorboard import SummaryWriter


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.writer = SummaryWriter("runs")
            """,
            good="""
            import wandb
            from litify import LightningModule


            class Lit(LightningModule):
                def validation_step(self, batch, batch_idx):
                    self.log("val_loss", self.loss(batch))
                    self.logger.experiment.log({"samples": wandb.Image(batch)})
            """,
        ),
        Example(
            bad="""
            import wandb
            from litify import LightningModule


            class Lit(LightningModule):
                def on_train_epoch_end(self):
                    wandb.log({"epoch": self.current_epoch})
            """,
            good="""
            import wandb
            from litify import Trainer

            wandb.init(project="digits")
            trainer = Trainer(max_epochs=3)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of one of these functions in a method of the module."""
        if here.module is not None and isinstance(node, ast.Call):
            name = here.resolve(node.func)
            if name in WRITERS:
                yield self.found(node, here, call=name)
