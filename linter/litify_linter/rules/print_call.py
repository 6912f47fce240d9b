from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.imports import dotted
from litify_linter.reading.lightning import LOOP_HOOKS
from litify_linter.rule import Example, Finding, Rule


class PrintCall(Rule):
    """`print()` in a step or another hook of the training loop.

    Why: It prints once per process and tears the progress bar apart. Numbers belong in `self.log`, where they reach the
    progress bar, the logger and the callbacks; text that is meant for the terminal in `self.print`, which prints once.

    Ignore when: Every process shall print, as when hunting a bug of one rank. Prints to a file (`file=`) and prints
    guarded by the rank are never reported.
    """

    code, name = "LIT601", "print-call"
    message = "`print` in `{hook}` prints in every process; use `self.log`, or `self.print`"
    visits = (ast.Call,)
    hooks = LOOP_HOOKS
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def validation_step(self, batch, batch_idx):
                    loss = self.loss(batch)
                    print("loss", loss)
            """,
            good="""
            from lightning.pytorch.utilities import rank_zero_only
            from litify import LightningModule


            class Lit(LightningModule):
                def validation_step(self, batch, batch_idx):
                    self.log("val_loss", self.loss(batch))

                def on_validation_epoch_end(self):
                    self.print("validated")
                    if self.trainer.is_global_zero:
                        print("on rank zero")

                @rank_zero_only
                def on_train_end(self):
                    print("done")
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of the built-in print that no test of the rank guards."""
        match node:
            case ast.Call(func=ast.Name(id="print"), keywords=keywords):
                to_file = any(keyword.arg == "file" for keyword in keywords)
                if not to_file and not _on_one_rank(node, here):
                    yield self.found(node, here, hook=here.hook)


def _on_one_rank(node: ast.AST, here: Place) -> bool:
    decorators = here.method.decorator_list if here.method is not None else []
    if any((dotted(decorator) or "").endswith("rank_zero_only") for decorator in decorators):
        return True
    return here.guarded(node, {"is_global_zero", "global_rank", "local_rank", "rank"})
