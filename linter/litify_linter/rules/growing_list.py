from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import STEPS, LightningClass
from litify_linter.rule import Example, Finding, Rule


class GrowingList(Rule):
    """A list that a step appends to in every batch and that nothing in the class ever empties.

    Why: Memory grows from epoch to epoch, results of the last epoch mix with those of earlier ones, and each process has only
    its own part. `self.log` averages over batches and processes; a torchmetrics.Metric keeps more.

    Ignore when: Another object empties the list, or a single epoch is all that is ever run. A module whose
    configure_optimizers returns nothing is never reported.
    """

    code, name = "LIT606", "growing-list"
    message = "`{target}` grows with each batch and is never emptied; use `self.log` or a metric, or clear it in an epoch hook"
    visits = (ast.Call,)
    hooks = STEPS
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.scores = []

                def validation_step(self, batch, batch_idx):
                    self.scores.append(self.score(batch))

                def on_validation_epoch_end(self):
                    self.log("score", sum(self.scores) / len(self.scores))
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.scores = []

                def validation_step(self, batch, batch_idx):
                    self.scores.append(self.score(batch))

                def on_validation_epoch_end(self):
                    self.log("score", sum(self.scores) / len(self.scores))
                    self.scores.clear()
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """`self.x.append(...)` where `self.x` is a list set up once, and neither set, cleared, popped nor handed on again."""
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(value=ast.Name(id=owner), attr=name), attr="append")
            ):
                if owner != here.self_name or here.lightning is None or here.guarded(node, {"batch_idx"}):
                    return
            case _:
                return
        if here.lightning.only_collects:
            return
        if _is_plain_list(here.lightning.attributes.get(name)) and not _emptied(here.lightning, name):
            yield self.found(node, here, target=f"{owner}.{name}")


def _is_plain_list(value: ast.expr | None) -> bool:
    match value:
        case ast.List(elts=[]) | ast.Call(func=ast.Name(id="list"), args=[]):
            return True
    return False


def _emptied(cls: LightningClass, name: str) -> bool:
    """Whether anything else happens to the attribute than reading and appending, outside the constructor."""
    for ancestor in cls.lineage:
        for method in ancestor.body:
            in_init = isinstance(method, ast.FunctionDef) and method.name == "__init__"
            for node in ast.walk(method):
                match node:
                    case ast.Call(
                        func=ast.Attribute(value=ast.Attribute(attr=attr), attr="clear" | "pop" | "popleft")
                    ):
                        if attr == name:
                            return True
                    case ast.Attribute(attr=attr, ctx=ast.Store() | ast.Del()) if (
                        attr == name and not in_init
                    ):
                        return True
                    case ast.Subscript(value=ast.Attribute(attr=attr), ctx=ast.Store() | ast.Del()) if (
                        attr == name
                    ):
                        return True
                    case ast.Call(args=arguments) if any(_is_self(a, name) for a in arguments) and _unknown(
                        node
                    ):
                        return True  # a method that gets the list may empty it
                    case ast.Call(func=ast.Name(id="setattr")):
                        return True
    return False


def _is_self(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.value, ast.Name)


def _unknown(call: ast.AST) -> bool:
    """A call of a method of the module, or of a function that is not built in."""
    match call:
        case ast.Call(
            func=ast.Name(
                id="len" | "sum" | "min" | "max" | "sorted" | "enumerate" | "zip" | "print" | "list"
            )
        ):
            return False
        case ast.Call(func=ast.Attribute(value=ast.Name(id="torch" | "np" | "numpy"))):
            return False
    return True
