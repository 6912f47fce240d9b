from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import Edits, replacement
from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule


class RawBackward(Rule):
    """`loss.backward()` in a training step of manual optimization, where `self.manual_backward(loss)` belongs.

    Why: manual_backward goes through the Trainer's precision and strategy: it scales the loss under 16-bit precision
    and tells distributed strategies what is going on. A plain backward() works in 32 bit on one device only.

    Ignore when: The step scales the loss itself. `scaler.scale(loss).backward()` is never reported.
    """

    code, name = "LIT204", "raw-backward"
    fix = "safe"
    severity = "warning"
    message = "`{call}()` under manual optimization: use `self.manual_backward({loss})`, which knows precision and strategy"
    visits = (ast.Call,)
    hooks = frozenset({"training_step"})
    follow_calls = True
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False

                def training_step(self, batch, batch_idx):
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    loss = self.loss(batch)
                    loss.backward()
                    optimizer.step()
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False

                def training_step(self, batch, batch_idx):
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    loss = self.loss(batch)
                    self.manual_backward(loss)
                    optimizer.step()
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of a method `backward` on a loss."""
        if here.automatic:
            return
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Call(func=ast.Attribute(attr="scale")), attr="backward")
            ):
                return
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="backward")) if (
                name == here.self_name
            ):
                return
            case ast.Call(func=ast.Attribute(value=ast.Attribute(), attr="backward"), args=[_, *_]):
                return  # self.hmm.backward(observations)
            case ast.Call(func=ast.Attribute(value=target, attr="backward") as function) as node:
                if here.resolve(target) is None and here.text(target) != "super()":
                    edits = _through_module(node, here)
                    yield self.found(node, here, edits, call=here.text(function), loss=here.text(target))


def _through_module(call: ast.Call, here: Place) -> Edits | None:
    """`loss.backward(...)` -> `self.manual_backward(loss, ...)`."""
    assert isinstance(call.func, ast.Attribute)
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    arguments = [call.func.value, *call.args]
    words = [here.file.source(a) for a in arguments]
    words += [
        f"{k.arg}={here.file.source(k.value)}" if k.arg else f"**{here.file.source(k.value)}"
        for k in call.keywords
    ]
    if any("\n" in word for word in words):
        return None
    return replacement(call, here, f"{here.self_name}.manual_backward({', '.join(words)})")
