from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import STEPS
from litify_linter.rule import Example, Finding, Rule


class HandDrivenStep(Rule):
    """A loop in a LightningModule that calls a step of the same module for each batch.

    Why: That is the Trainer's loop, without its devices, precision, hooks and logging: `self.log` in the step raises or goes
    astray. `trainer.validate(...)`, or a second validation loader, runs the step with all of them.

    Ignore when: The loop goes over parts of one batch, such as the views of a sample.
    """

    code, name = "LIT303", "hand-driven-step"
    message = "Loop over `{loader}` calls `{step}`: let the Trainer run it"
    visits = (ast.For,)
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def on_train_epoch_end(self):
                    for batch_idx, batch in enumerate(self.val_dataloader()):
                        self.validation_step(batch, batch_idx)
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    return sum(self.validation_step(view, batch_idx) for view in batch)

                def on_fit_start(self):
                    for batch in self.train_dataloader():
                        self.scaler.update(batch)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A `for` over something named like a loader whose body calls `self.*_step`."""
        if (
            here.module is None
            or not isinstance(node, ast.For)
            or "loader" not in here.text(node.iter).lower()
        ):
            return
        for part in ast.walk(node):
            match part:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=step)) if (
                    owner == here.self_name and step in STEPS
                ):
                    span = here.file.header_span(node)
                    text = self.message.format(loader=here.text(node.iter), step=step)
                    yield Finding(self.code, self.name, text, *span)
                    return
