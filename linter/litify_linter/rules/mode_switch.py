from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import without_statement
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import EVALUATION_HOOKS
from litify_linter.reading.objects import is_stranger
from litify_linter.rule import Example, Finding, Rule


class ModeSwitch(Rule):
    """`train()` or `eval()` called where the Trainer has already set the mode.

    Why: Before validation, testing and prediction the Trainer switches the module to eval mode, and afterwards each
    submodule back to the mode it had. A switch by hand in between is redundant, or leaves the module in the wrong mode:
    a `train()` in a validation hook lets dropout and batch norm run during evaluation.

    Ignore when: A submodule shall be in the other mode on purpose, as for Monte Carlo dropout at test time.
    """

    code, name = "LIT301", "mode-switch"
    fix = "safe"
    message = "`{call}` in `{hook}`: the Trainer switches modes; remove it"
    visits = (ast.Call,)
    hooks = EVALUATION_HOOKS | {"training_step"}
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def validation_step(self, batch, batch_idx):
                    self.model.eval()
                    self.log("val_loss", self.loss(batch))
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def on_train_epoch_start(self):
                    self.teacher.eval()

                def validation_step(self, batch, batch_idx):
                    self.log("val_loss", self.loss(batch))
            """,
        ),
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    self.train()
                    return self.loss(batch)
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False

                def training_step(self, batch, batch_idx):
                    self.model.train()
                    self.optimizers().zero_grad()
                    self.manual_backward(self.loss(batch))
                    self.optimizers().step()
                    self.model.eval()
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """`self.train()`, `self.x.eval()`, `self.x.train(False)`; in an automatic training_step nothing of `x.eval()`."""
        match node:
            case ast.Call(
                func=ast.Attribute(value=target, attr="train" | "eval" as mode), args=args, keywords=[]
            ):
                if len(args) > 1 or (
                    args and not (isinstance(args[0], ast.Constant) and isinstance(args[0].value, bool))
                ):
                    return
                is_self = isinstance(target, ast.Name) and target.id == here.self_name
                if not is_self and (_root(target) != here.self_name or is_stranger(target, here)):
                    return
                if here.hook != "training_step" and here.hook in here.file.attributes_read:
                    return  # someone calls the hook by hand
                if here.callable_by_hand or (here.module is not None and here.module.only_collects):
                    return
                if here.hook != "training_step" and _is_decided(node, here):
                    return
                if here.hook == "training_step" and _is_wanted(mode, is_self, here):
                    return
                # To eval where it is eval already: without effect. A train() may be there for its effect.
                off = mode == "eval" or bool(args and isinstance(args[0], ast.Constant) and not args[0].value)
                edits = without_statement(node, here) if off and here.hook != "training_step" else None
                yield self.found(node, here, edits, call=here.text(node), hook=here.hook)


def _is_decided(node: ast.expr, here: Place) -> bool:
    """Whether the mode hangs on an `if` one side of which is train(): dropout kept on, to sample predictions."""
    line = node.lineno
    tests = [n for n in ast.walk(here.method) if isinstance(n, ast.If)] if here.method is not None else []
    return any(
        isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "train"
        for test in tests
        if test.lineno <= line <= (test.end_lineno or line)
        for call in ast.walk(test)
        if not (isinstance(call, ast.Call) and call.args)
    )


def _is_wanted(mode: str, is_self: bool, here: Place) -> bool:
    """Whether a training_step has reasons to switch: a frozen part kept in eval mode, or code of the file's own that
    evaluates by hand and leaves the model in eval mode."""
    if not here.automatic or (mode == "eval" and not is_self):
        return True
    return mode == "train" and "eval" in here.file.attributes_read


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
