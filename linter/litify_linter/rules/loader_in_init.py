from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule


class LoaderInInit(Rule):
    """A DataLoader built in a LightningModule's constructor.

    Why: The constructor runs before the Trainer has chosen devices and processes, and again whenever the module is
    loaded from a checkpoint, on machines that have no training data. Loaders belong in a LightningDataModule, or in
    train_dataloader and its siblings.

    Ignore when: The loader is part of the model itself, such as a memory of prototypes that it reads through.
    """

    code, name = "LIT502", "loader-in-init"
    message = "`{loader}` is built in the module's __init__; build it in a LightningDataModule or in `train_dataloader`"
    visits = (ast.Call,)
    hooks = frozenset({"__init__"})
    examples = (
        Example(
            bad="""
            from litify import LightningModule
            from torch.utils.data import DataLoader


            class Lit(LightningModule):
                def __init__(self, digits):
                    super().__init__()
                    self.loader = DataLoader(digits, batch_size=32)
            """,
            good="""
            from litify import LightningModule
            from torch.utils.data import DataLoader


            class Lit(LightningModule):
                def train_dataloader(self):
                    return DataLoader(self.digits, batch_size=32)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of an imported class whose name ends in DataLoader."""
        if isinstance(node, ast.Call):
            last = (here.resolve(node.func) or "").rpartition(".")[2]
            if last.endswith("DataLoader"):
                yield self.found(node, here, loader=last)
