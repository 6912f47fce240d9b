from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule


class RawBackward(Rule):
    """`loss.backward()` in a training step of manual optimization, where `self.manual_backward(loss)` belongs.

    Why: manual_backward goes through the Trainer's precision and strategy: it scales the loss under 16-bit precision
    and tells distributed strategies what is going on. A plain backward() works in 32 bit on one device only.

    Ignore when: The step scales the loss itself. `scaler.scale(loss).backward()` is never reported.
    """

    code, name = "LIT204", "raw-backward"
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
            case ast.Call(func=ast.Attribute(value=target, attr="backward") as function):
                if here.resolve(target) is None and ast.unparse(target) != "super()":
                    yield self.found(node, here, call=ast.unparse(function), loss=ast.unparse(target))
