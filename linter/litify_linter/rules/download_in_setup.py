from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import DATAMODULE, LOADERS, MODULE
from litify_linter.rule import Example, Finding, Rule


class DownloadInSetup(Rule):
    """`download=True` outside prepare_data.

    Why: setup, the constructor and the loader hooks run in every process: with several, all download to the same file
    at once. prepare_data runs once per machine, before the others.

    Ignore when: The download function takes a lock of its own.
    """

    code, name = "LIT504", "download-in-setup"
    message = "`download=True` in `{hook}`, which runs in every process; download in `prepare_data`"
    visits = (ast.Call,)
    hooks = LOADERS | {"setup", "__init__"}
    kinds = frozenset({MODULE, DATAMODULE})
    examples = (
        Example(
            bad="""
            from litify import LightningDataModule
            from torchvision.datasets import MNIST


            class Digits(LightningDataModule):
                def setup(self, stage):
                    self.digits = MNIST("data", download=True)
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
        """A call with `download=True`, unless it hands that on to the base class."""
        if isinstance(node, ast.Call) and not _is_of_base(node):
            for keyword in node.keywords:
                match keyword:
                    case ast.keyword(arg="download", value=ast.Constant(value=True)):
                        yield self.found(keyword, here, hook=here.hook)


def _is_of_base(call: ast.Call) -> bool:
    """`super().__init__(...)`, `super().setup(...)`."""
    match call.func:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="super"))):
            return True
    return False
