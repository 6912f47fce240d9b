from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import without_statement
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import LOOP_HOOKS
from litify_linter.reading.objects import values_of
from litify_linter.rule import Example, Finding, Rule


class SchedulerStepCall(Rule):
    """`self.lr_schedulers().step()` in a LightningModule whose optimization is automatic.

    Why: The Trainer steps every scheduler that configure_optimizers returns, once per epoch or as its `interval` says.
    A second step by hand makes the learning rate run through its schedule twice as fast.

    Ignore when: lr_scheduler_step is overridden to do nothing.
    """

    code, name = "LIT206", "scheduler-step-call"
    fix = "unsafe"
    severity = "error"
    message = "`{call}()` under automatic optimization: the Trainer steps schedulers that configure_optimizers returns"
    visits = (ast.Call,)
    hooks = LOOP_HOOKS
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def on_train_epoch_end(self):
                    scheduler = self.lr_schedulers()
                    scheduler.step()
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False

                def on_train_epoch_end(self):
                    scheduler = self.lr_schedulers()
                    scheduler.step()
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """`step()` on what `self.lr_schedulers()` gives, directly or through a name."""
        if not here.automatic:
            return
        match node:
            case ast.Call(func=ast.Attribute(value=target, attr="step") as function):
                values = [target, *(values_of(target.id, here) if isinstance(target, ast.Name) else [])]
                if any(_gives_schedulers(value) for value in values):
                    yield self.found(node, here, without_statement(node, here), call=here.text(function))


def _gives_schedulers(node: ast.expr) -> bool:
    match node:
        case ast.Subscript(value=inner):
            return _gives_schedulers(inner)
        case ast.Call(func=ast.Attribute(attr="lr_schedulers")):
            return True
    return False
