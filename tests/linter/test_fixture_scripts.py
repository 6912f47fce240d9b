"""The fixtures: every raw script that trains is found, and what convert makes of it is clean."""

from __future__ import annotations

from pathlib import Path

import pytest

from litify_linter.check import check_file
from litify_linter.config import Settings

FIXTURES = Path(__file__).parents[2] / "fixtures"
RAW = sorted(FIXTURES.glob("*/train.py"))
CONVERTED = sorted(FIXTURES.glob("*/train_lit.py"))


def codes(path: Path) -> list[str]:
    return [finding.code for finding in check_file(str(path), Settings()).findings]


@pytest.mark.parametrize("path", RAW, ids=lambda path: path.parent.name)
def test_raw_scripts(path):
    assert codes(path) == ([] if path.parent.name == "no_training" else ["LIT901"])


@pytest.mark.parametrize("path", CONVERTED, ids=lambda path: path.parent.name)
def test_converted_scripts(path):
    assert codes(path) == []
