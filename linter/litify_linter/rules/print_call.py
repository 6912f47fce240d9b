from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import Edits, replacement
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import LOOP_HOOKS
from litify_linter.rule import Example, Finding, Rule


class PrintCall(Rule):
    """`print()` in a step or another hook of the training loop.

    Why: It prints once per process and tears the progress bar apart. Numbers belong in `self.log`, where they reach the
    progress bar, the logger and the callbacks; text that is meant for the terminal in `self.print`, which prints once.

    Ignore when: Every process shall print, as when hunting a bug of one rank. Prints to a file (`file=`), and prints under a
    condition (the rank, a count, a value that is not finite, an error), are never reported.
    """

    code, name = "LIT601", "print-call"
    fix = "safe"
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
            case ast.Call(func=ast.Name(id="print"), keywords=keywords) as node:
                to_file = any(keyword.arg == "file" for keyword in keywords)
                if not to_file and not _seldom(node, here):
                    yield self.found(node, here, _by_module(node, here), hook=here.hook)


def _by_module(call: ast.Call, here: Place) -> Edits | None:
    """`print(...)` -> `self.print(...)`, which knows `sep` and `end` only."""
    if any(keyword.arg not in {"sep", "end"} for keyword in call.keywords) or here.is_static:
        return None
    return replacement(call.func, here, f"{here.self_name}.print")


def _seldom(node: ast.AST, here: Place) -> bool:
    """In one process only, under a condition, or before an error is raised: someone wants to look."""
    return here.on_one_rank(node) or here.conditional(node) or _before_raise(node, here)


def _before_raise(node: ast.AST, here: Place) -> bool:
    """Whether the statement's block ends in a `raise`: each process has its own reason to fail."""
    statement = node
    while not isinstance(statement, ast.stmt):
        statement = here.file.parents[statement]
    blocks = (getattr(here.file.parents[statement], part, None) for part in ("body", "orelse", "finalbody"))
    return any(isinstance(b, list) and statement in b and isinstance(b[-1], ast.Raise) for b in blocks)
