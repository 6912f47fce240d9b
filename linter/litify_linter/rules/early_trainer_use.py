from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule


class EarlyTrainerUse(Rule):
    """`self.trainer`, or what it gives, read in the constructor of a LightningModule.

    Why: There is no Trainer yet: the property raises. `setup` runs with one, before any batch.

    Ignore when: Never.
    """

    code, name = "LIT811", "early-trainer-use"
    message = "`self.{attribute}` in the constructor raises: there is no Trainer yet; read it in `setup`"
    severity = "error"
    visits = (ast.Attribute,)
    hooks = frozenset({"__init__"})
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.steps = self.trainer.estimated_stepping_batches
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def setup(self, stage):
                    self.steps = self.trainer.estimated_stepping_batches
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """An attribute of `self.trainer`, or a call of `self.optimizers()`, that runs in the constructor itself."""
        if here.method is not here.scope or here.module is None:
            return
        match node:
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id=owner), attr="trainer" as attribute)):
                pass
            case ast.Attribute(
                value=ast.Name(id=owner), attr="optimizers" | "lr_schedulers" as attribute, ctx=ast.Load()
            ):
                if attribute in here.module.methods:
                    return
            case _:
                return
        if owner == here.self_name and attribute not in here.module.attributes:
            yield self.found(node, here, attribute=attribute)
