from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import Edits, first_in_body
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import DATAMODULE, MODULE, LightningClass
from litify_linter.reading.scopes import Function
from litify_linter.rule import Example, Finding, Rule


class MissingSuperInit(Rule):
    """A LightningModule or DataModule whose constructor does not call the one it inherits.

    Why: Without it the class has no place to register parameters and hooks: the first submodule assigned raises, or
    the Trainer fails later on an attribute that does not exist.

    Ignore when: The inherited constructor is called by other means, such as a decorator.
    """

    code, name = "LIT801", "missing-super-init"
    fix = "safe"
    severity = "error"
    message = "`{cls}.__init__` does not call `super().__init__()`"
    visits = (ast.ClassDef,)
    examples = (
        Example(
            bad="""
            from litify import LightningModule
            from torch import nn


            class Lit(LightningModule):
                def __init__(self):
                    self.model = nn.Linear(2, 1)
            """,
            good="""
            from litify import LightningModule
            from torch import nn


            class Lit(LightningModule):
                def __init__(self):
                    super(Lit, self).__init__()
                    self.model = nn.Linear(2, 1)


            class Callable(LightningModule):
                def __init__(self):
                    LightningModule.__init__(self)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A constructor in which no `__init__` of anything is called."""
        cls = here.file.lightning.get(node) if isinstance(node, ast.ClassDef) else None
        if cls is None or cls.kind not in {MODULE, DATAMODULE}:
            return
        constructor = cls.methods.get("__init__")
        if constructor is not None and not any(
            isinstance(part, ast.Attribute) and part.attr == "__init__" for part in ast.walk(constructor)
        ):
            yield self.found(constructor, here, _called(cls, constructor, here), cls=cls.node.name)


def _called(cls: LightningClass, constructor: Function, here: Place) -> Edits | None:
    """The call as first statement, unless the inherited constructor wants arguments of its own."""
    for ancestor in cls.lineage[1:]:
        for node in ancestor.body:
            if isinstance(node, Function) and node.name == "__init__":
                args = node.args
                wanted = len([*args.posonlyargs, *args.args]) - 1 - len(args.defaults)
                if wanted > 0 or None in args.kw_defaults:
                    return None
    return first_in_body(constructor, here, "super().__init__()")
