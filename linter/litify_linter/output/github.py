"""Workflow commands of GitHub Actions, which shows them at the lines of a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from litify_linter.rules import severity

if TYPE_CHECKING:
    from litify_linter.checked import Checked


def render(files: Sequence[Checked], colour: bool) -> Iterator[str]:
    """An `::error` or `::warning` command for each finding."""
    for file in files:
        for f in file.findings:
            end = f"endLine={f.end_line},endColumn={f.end_column}"
            where = f"file={_property(file.path)},line={f.line},col={f.column},{end}"
            cell = f"cell {f.cell}:" if f.cell is not None else ""
            text = _data(f"{file.path}:{cell}{f.line}:{f.column}: {f.code} {f.message}")
            yield f"::{severity(f.code)} title=litify ({f.code}),{where}::{text}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
