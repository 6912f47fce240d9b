from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import replacement
from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule


class KeptGraph(Rule):
    """The loss of a training step kept in an attribute with its graph.

    Why: A list of losses, or a running sum, holds on to the autograd graph of every batch in it: memory grows with each
    step. `.detach()` keeps the number and lets the graph go; `self.log` does so by itself.

    Ignore when: The sum is backpropagated later, which needs manual optimization.
    """

    code, name = "LIT604", "kept-graph"
    fix = "safe"
    message = "`{target}` keeps the graph of every batch's loss; add `.detach()`, or use `self.log`"
    visits = (ast.Call, ast.AugAssign)
    hooks = frozenset({"training_step"})
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    loss = self.loss(batch)
                    self.losses.append(loss)
                    self.total += loss
                    return loss
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    loss = self.loss(batch)
                    self.losses.append(loss.detach())
                    self.total += loss.detach()
                    return {"loss": loss}
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """`self.x.append(loss)` and `self.x += loss`, where `loss` is what the step returns."""
        if not here.automatic or here.method is None:
            return
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(value=ast.Name(id=owner)) as target, attr="append"),
                args=[ast.Name(id=kept) as value],
            ):
                pass
            case ast.AugAssign(
                target=ast.Attribute(value=ast.Name(id=owner)) as target, value=ast.Name(id=kept) as value
            ):
                pass
            case _:
                return
        if owner == here.self_name and kept in set(_returned(here.method)):
            edits = replacement(value, here, f"{kept}.detach()")
            yield self.found(node, here, edits, target=here.text(target))


def _returned(method: ast.AST) -> Iterable[str]:
    """Names that the step returns as its loss."""
    for node in ast.walk(method):
        match node:
            case ast.Return(value=ast.Name(id=name)):
                yield name
            case ast.Return(value=ast.Dict(keys=keys, values=values)):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "loss" and isinstance(value, ast.Name):
                        yield value.id
