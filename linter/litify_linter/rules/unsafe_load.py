from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import with_argument
from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule


class UnsafeLoad(Rule):
    """`torch.load` that does not say `weights_only`, in a LightningModule, DataModule or Callback.

    Why: Before torch 2.6 it unpickles whatever the file contains, code included; from 2.6 on it refuses what the same
    line read before. Saying which one is meant makes the file mean the same everywhere. Lightning's own checkpoints
    load with `weights_only=True`, or through `load_from_checkpoint`.

    Ignore when: The project requires torch 2.6 or newer and relies on its default.
    """

    code, name = "LIT701", "unsafe-load"
    fix = "unsafe"
    message = (
        "`torch.load` without `weights_only=`: say `weights_only=True`, or False for objects that you trust"
    )
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def setup(self, stage):
                    self.model.load_state_dict(torch.load("start.pt"))
            """,
            good="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def setup(self, stage):
                    self.model.load_state_dict(torch.load("start.pt", weights_only=True))


            start = torch.load("start.pt")
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of torch.load without the argument, nor with `**` arguments that may hold it."""
        if here.lightning is None or not isinstance(node, ast.Call):
            return
        if any(k.arg in {"weights_only", None} for k in node.keywords):
            return
        if here.resolve(node.func) in {"torch.load", "torch.serialization.load"}:
            yield self.found(node, here, with_argument(node, here, "weights_only=True"))
