from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import Edits, removed, undecorated, unwrapped
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import EVALUATION_HOOKS
from litify_linter.rule import Example, Finding, Rule

CONTEXTS = frozenset(
    {"torch.no_grad", "torch.autograd.no_grad", "torch.inference_mode", "torch.set_grad_enabled"}
)


class GradContext(Rule):
    """`torch.no_grad()` and its kin in a validation, test or predict hook.

    Why: The Trainer runs these hooks without gradients already (`Trainer(inference_mode=...)` chooses how). The context
    adds a level of indentation and suggests that it is needed.

    Ignore when: Code of another file calls the hook outside the Trainer. Where the same file does, it is never reported.
    """

    code, name = "LIT302", "grad-context"
    fix = "safe"
    message = "`{call}` in `{hook}`: the Trainer already runs it without gradients; remove it"
    visits = (ast.Call,)
    hooks = EVALUATION_HOOKS
    examples = (
        Example(
            bad="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def validation_step(self, batch, batch_idx):
                    with torch.no_grad():
                        self.log("val_loss", self.loss(batch))
            """,
            good="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    with torch.no_grad():
                        target = self.teacher(batch)
                    return self.loss(batch, target)

                def validation_step(self, batch, batch_idx):
                    with torch.set_grad_enabled(True):
                        gradient = self.input_gradient(batch)
                    self.log("sensitivity", gradient.norm())
            """,
        ),
        Example(
            bad="""
            from lightning.pytorch import LightningModule
            from torch import no_grad


            class Lit(LightningModule):
                @no_grad()
                def test_step(self, batch, batch_idx):
                    self.log("test_loss", self.loss(batch))
            """,
            good="""
            from lightning.pytorch import LightningModule
            from torch import no_grad


            class Lit(LightningModule):
                def on_train_epoch_end(self):
                    self.evaluate()

                @no_grad()
                def evaluate(self):
                    self.print(self.loss(self.samples))
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call that turns gradients off: as a context, as a decorator of the hook, or by itself."""
        if not isinstance(node, ast.Call) or here.hook in here.file.attributes_read or _is_for_users(here):
            return
        name = here.resolve(node.func)
        if name not in CONTEXTS:
            return
        argument = (
            node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "mode"), None)
        )
        value = argument.value if isinstance(argument, ast.Constant) else argument
        turns_off = value is False if name == "torch.set_grad_enabled" else value is None or value is True
        if turns_off and not _turned_on(here):
            yield self.found(node, here, _without(node, here), call=here.text(node), hook=here.hook)


def _is_for_users(here: Place) -> bool:
    """Whether others than the Trainer may call the hook: a predict_step that users call, or one that a base calls."""
    return here.callable_by_hand or (
        here.hook == "predict_step" and here.lightning is not None and here.lightning.has_unseen_base
    )


def _turned_on(here: Place) -> bool:
    """Whether the class turns gradients on as well: then one of the two restores what the other changed."""
    for node in ast.walk(here.lightning.node) if here.lightning is not None else ():
        match node:
            case ast.Call(func=function, args=[ast.Constant(value=True)]):
                if here.resolve(function) == "torch.set_grad_enabled":
                    return True
            case ast.Call(func=ast.Attribute(attr="enable_grad") | ast.Name(id="enable_grad")):
                return True
    return False


def _without(call: ast.Call, here: Place) -> Edits | None:
    parent = here.file.parents.get(call)
    match parent:
        case ast.Expr():
            return removed(parent, here)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return undecorated(call, here)
        case ast.withitem(optional_vars=None):
            statement = here.file.parents.get(parent)
            if isinstance(statement, ast.With | ast.AsyncWith):
                return unwrapped(statement, call, here)
    return None
