from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import CALLBACK
from litify_linter.reading.objects import is_optimizer
from litify_linter.rule import Example, Finding, Rule


class TrainingInCallback(Rule):
    """A Callback that steps an optimizer.

    Why: What trains the model is research code and belongs in the LightningModule, where a reader looks for it and where
    precision and strategy know of it. A callback is what can be left out without changing the result.

    Ignore when: The callback trains something beside the model, such as a probe on frozen features, in a way
    the rule does not see: an optimizer over `self.probe.parameters()` is never reported.
    """

    code, name = "LIT809", "training-in-callback"
    message = "`{call}` in a Callback: what trains the model belongs in the LightningModule"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            from litify.callbacks import Callback


            class Extra(Callback):
                def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                    optimizer = pl_module.optimizers()
                    pl_module.penalty().backward()
                    optimizer.step()
            """,
            good="""
            from litify.callbacks import Callback


            class Watch(Callback):
                def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                    self.timer.step()
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """`step()` of an optimizer in a class that is a Callback; a backward alone may be there for a picture."""
        if here.lightning is None or here.lightning.kind != CALLBACK:
            return
        match node:
            case ast.Call(func=ast.Attribute(value=target, attr="step") as function) if is_optimizer(
                target, here
            ):
                if not _is_of_its_own(target, here):
                    yield self.found(node, here, call=f"{here.text(function)}()")


def _is_of_its_own(optimizer: ast.expr, here: Place) -> bool:
    """Whether `self.optimizer` is built over what the callback itself made: a probe beside the model."""
    if not isinstance(optimizer, ast.Attribute) or here.lightning is None:
        return False
    built = [v for name, v in here.lightning.assigned if name == optimizer.attr and isinstance(v, ast.Call)]
    made = {
        ast.unparse(target)
        for node in ast.walk(here.lightning.node)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute)
    }
    return bool(built) and all(_trained(call) in made for call in built)


def _trained(optimizer: ast.Call) -> str | None:
    """`self.probe`, of an optimizer over `self.probe.parameters()`."""
    match optimizer.args:
        case [ast.Call(func=ast.Attribute(value=ast.Attribute() as module, attr="parameters")), *_]:
            return ast.unparse(module)
    return None
