from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from litify_linter.edits import with_argument
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import DATAMODULE, MODULE
from litify_linter.rule import Example, Finding, Rule

_SEEDS = re.compile(r"seed_everything|manual_seed|random\.seed|\bisolate_rng")


class UnseededSplit(Rule):
    """A random split of the data without a seed of its own, in a LightningModule or DataModule.

    Why: setup runs in every process and again for every stage. Unless the global seed is the same each time, what was
    trained on lands in the validation set: between processes, and between fit and a later test.

    Ignore when: `seed_everything` is called elsewhere, right before each run. In a file that seeds it is never reported.
    """

    code, name = "LIT505", "unseeded-split"
    message = "`{call}` without a seed splits differently in each process and run; pass `{argument}`"
    fix = "unsafe"
    visits = (ast.Call,)
    kinds = frozenset({MODULE, DATAMODULE})
    examples = (
        Example(
            bad="""
            import torch
            from litify import LightningDataModule
            from torch.utils.data import random_split


            class Digits(LightningDataModule):
                def setup(self, stage):
                    self.train, self.val = random_split(self.digits, [0.8, 0.2])
            """,
            good="""
            import torch
            from litify import LightningDataModule
            from torch.utils.data import random_split


            class Digits(LightningDataModule):
                def setup(self, stage):
                    generator = torch.Generator().manual_seed(42)
                    self.train, self.val = random_split(self.digits, [0.8, 0.2], generator=generator)
            """,
        ),
    )

    @classmethod
    def wants(cls, text: str) -> bool:
        """Files that contain the word."""
        return "split" in text

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """random_split without a generator, scikit-learn's train_test_split without random_state."""
        if not isinstance(node, ast.Call) or here.lightning is None or here.lightning.kind not in self.kinds:
            return
        name, given = here.resolve(node.func) or "", {k.arg for k in node.keywords}
        if None in given or _SEEDS.search(here.file.text):
            return
        if name in {"torch.utils.data.random_split", "torch.utils.data.dataset.random_split"}:
            if "generator" not in given and len(node.args) < 3 and not _is_one_part(node):
                argument = "generator=torch.Generator().manual_seed(42)"
                known = here.file.imports.names.get("torch") == "torch"
                edits = with_argument(node, here, argument) if known else None
                yield self.found(node, here, edits, call="random_split", argument=argument)
        elif name.startswith("sklearn.model_selection.") and name.endswith("train_test_split"):
            shuffles = not any(
                k.arg == "shuffle" and getattr(k.value, "value", True) is False for k in node.keywords
            )
            if "random_state" not in given and shuffles:
                edits = with_argument(node, here, "random_state=42")
                yield self.found(node, here, edits, call="train_test_split", argument="random_state=42")


def _is_one_part(call: ast.Call) -> bool:
    """`random_split(data, [len(data)])`: all of it, in another order."""
    match call:
        case ast.Call(args=[_, ast.List(elts=[_]) | ast.Tuple(elts=[_])]):
            return True
    return False
