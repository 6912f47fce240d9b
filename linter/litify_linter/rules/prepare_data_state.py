from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import DATAMODULE, HOOKS, MODULE
from litify_linter.reading.scopes import Function
from litify_linter.rule import Example, Finding, Rule


class PrepareDataState(Rule):
    """`self.x = ...` in prepare_data.

    Why: prepare_data runs in one process per machine only: it is for downloads. What it sets on `self` is missing in
    all other processes. `setup` runs in every one.

    Ignore when: One process is all there will ever be. What only prepare_data itself reads, and what a strategy
    broadcasts to the others, is never reported.
    """

    code, name = "LIT501", "prepare-data-state"
    severity = "error"
    message = "`self.{attribute}` is set in prepare_data, which runs in one process only; set it in `setup`"
    visits = (ast.Assign, ast.AnnAssign, ast.AugAssign)
    hooks = frozenset({"prepare_data"})
    kinds = frozenset({MODULE, DATAMODULE})
    examples = (
        Example(
            bad="""
            from litify import LightningDataModule
            from torchvision.datasets import MNIST


            class Digits(LightningDataModule):
                def prepare_data(self):
                    self.digits = MNIST("data", download=True)

                def train_dataloader(self):
                    return self.loader(self.digits)
            """,
            good="""
            from litify import LightningDataModule
            from torchvision.datasets import MNIST


            class Digits(LightningDataModule):
                def prepare_data(self):
                    MNIST("data", download=True)

                def setup(self, stage):
                    self.digits = MNIST("data")
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """An attribute of `self` among the targets of an assignment."""
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in [part for t in targets if t is not None for part in ast.walk(t)]:
            match target:
                case ast.Attribute(
                    value=ast.Name(id=owner), attr=attribute, ctx=ast.Store()
                ) if owner == here.self_name and _is_read_later(attribute, here):
                    yield self.found(target, here, attribute=attribute)


def _is_read_later(attribute: str, here: Place) -> bool:
    """Whether a hook other than prepare_data, or a method that one calls, reads `self.attribute`."""
    assert here.lightning is not None
    hooks = HOOKS - {"prepare_data"}
    for ancestor in here.lightning.lineage:
        for method in ancestor.body:
            if not isinstance(method, Function):
                continue
            callers = here.lightning.reached_from.get(method.name, frozenset())
            if method.name in hooks or callers & hooks:
                for node in ast.walk(method):
                    match node:
                        case ast.Attribute(value=ast.Name(), attr=name, ctx=ast.Load()) if name == attribute:
                            return not _is_sent_to_all(attribute, here)
    return False


def _is_sent_to_all(attribute: str, here: Place) -> bool:
    """`self.x = self.trainer.strategy.broadcast(self.x)`."""
    assert here.lightning is not None
    for name, value in here.lightning.assigned:
        match value:
            case ast.Call(func=ast.Attribute(attr="broadcast" | "broadcast_object_list")) if (
                name == attribute
            ):
                return True
    return False
