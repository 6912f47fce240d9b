from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import replacement
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import DATAMODULE, MODULE
from litify_linter.rule import Example, Finding, Rule


class ShuffledEvaluation(Rule):
    """`shuffle=True` in a loader for validation, testing or prediction.

    Why: The result of an evaluation should not depend on the order, and shuffling makes runs harder to compare: other
    samples land in the logged batches, in a limited evaluation (`limit_val_batches`) even in the score.

    Ignore when: Only some batches are evaluated on purpose and they shall differ each time.
    """

    code, name = "LIT503", "shuffled-evaluation"
    fix = "unsafe"
    message = "`shuffle=True` in `{hook}`: evaluate in a fixed order"
    visits = (ast.Call,)
    hooks = frozenset({"val_dataloader", "test_dataloader", "predict_dataloader"})
    kinds = frozenset({MODULE, DATAMODULE})
    examples = (
        Example(
            bad="""
            from litify import LightningDataModule
            from torch.utils.data import DataLoader


            class Digits(LightningDataModule):
                def val_dataloader(self):
                    return DataLoader(self.digits, shuffle=True)
            """,
            good="""
            from litify import LightningDataModule
            from torch.utils.data import DataLoader


            class Digits(LightningDataModule):
                def train_dataloader(self):
                    return DataLoader(self.digits, shuffle=True)

                def val_dataloader(self):
                    return DataLoader(self.digits, shuffle=False)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call with `shuffle=True`."""
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                match keyword:
                    case ast.keyword(arg="shuffle", value=ast.Constant(value=True) as value):
                        edits = replacement(value, here, "False")
                        yield self.found(keyword, here, edits, hook=here.hook)
