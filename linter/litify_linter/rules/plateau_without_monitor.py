from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.objects import values_of
from litify_linter.rule import Example, Finding, Rule


class PlateauWithoutMonitor(Rule):
    """A ReduceLROnPlateau that configure_optimizers returns without the metric it shall watch.

    Why: The Trainer steps this scheduler with the value of a logged metric; without `"monitor"` it does not know which, and
    fit raises.

    Ignore when: lr_scheduler_step is overridden. That is never reported.
    """

    code, name = "LIT210", "plateau-without-monitor"
    message = 'ReduceLROnPlateau without "monitor": name the logged metric it watches'
    severity = "error"
    visits = (ast.Return,)
    hooks = frozenset({"configure_optimizers"})
    examples = (
        Example(
            bad="""
            from litify import LightningModule
            from torch import optim


            class Lit(LightningModule):
                def configure_optimizers(self):
                    optimizer = optim.SGD(self.parameters(), lr=0.1)
                    scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer)
                    return [optimizer], [scheduler]
            """,
            good="""
            from litify import LightningModule
            from torch import optim


            class Lit(LightningModule):
                def configure_optimizers(self):
                    optimizer = optim.SGD(self.parameters(), lr=0.1)
                    scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer)
                    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}
            """,
        ),
    )

    @classmethod
    def wants(cls, text: str) -> bool:
        """Files that contain the word."""
        return "ReduceLROnPlateau" in text

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """The scheduler in a list, or in a dictionary without the key."""
        if here.module is None or not here.automatic or "lr_scheduler_step" in here.module.methods:
            return
        if isinstance(node, ast.Return) and node.value is not None:
            for scheduler in _unwatched(node.value, here):
                yield self.found(scheduler, here)


def _unwatched(value: ast.expr, here: Place) -> Iterable[ast.expr]:
    match value:
        case ast.Tuple(elts=[_, ast.List(elts=schedulers) | ast.Tuple(elts=schedulers)]):
            for scheduler in schedulers:
                yield from (
                    _unwatched(scheduler, here)
                    if isinstance(scheduler, ast.Dict)
                    else ([scheduler] if _is_plateau(scheduler, here) else [])
                )
        case ast.Dict(keys=keys, values=values):
            said = {
                key.value: one for key, one in zip(keys, values, strict=True) if isinstance(key, ast.Constant)
            }
            if "monitor" in said or None in keys:
                return
            inner = said.get("scheduler", said.get("lr_scheduler"))
            if isinstance(inner, ast.Dict):
                yield from _unwatched(inner, here)
            elif inner is not None and _is_plateau(inner, here):
                yield inner


def _is_plateau(node: ast.expr, here: Place) -> bool:
    if isinstance(node, ast.Name):
        values = values_of(node.id, here)
        return bool(values) and all(isinstance(v, ast.Call) and _is_plateau(v, here) for v in values)
    name = here.resolve(node.func) if isinstance(node, ast.Call) else None
    return name is not None and name.endswith(".lr_scheduler.ReduceLROnPlateau")
