"""The rules as flake8 calls them. flake8 itself need not be installed."""

from __future__ import annotations

import ast

from litify_linter.flake8 import Checker

TEXT = """\
from litify import LightningModule


class Lit(LightningModule):
    def validation_step(self, batch, batch_idx):
        print(batch)  # noqa: LIT999
"""


def test_plugin():
    found = list(Checker(ast.parse(TEXT), TEXT.splitlines(keepends=True)).run())
    assert [(line, column, text[:6], kind) for line, column, text, kind in found] == [
        (6, 8, "LIT601", Checker)
    ]
