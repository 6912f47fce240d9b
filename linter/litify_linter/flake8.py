"""The rules as a flake8 plugin, for projects that run flake8 already: codes, noqa and selection are flake8's then."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from litify_linter.check import lint
from litify_linter.config import ERROR_CODES, default_codes
from litify_linter.reading.siblings import Siblings
from litify_linter.reading.source import Source, UnreadableSource


class Checker:
    """What flake8 calls for each file, with the tree and the lines it has read."""

    def __init__(self, tree: ast.Module, lines: Sequence[str], filename: str = "-") -> None:
        self._filename = filename
        self._tree = tree
        self._lines = lines

    def run(self) -> Iterator[tuple[int, int, str, type[Checker]]]:
        """(line, column from 0, "CODE message", this class) of each finding. flake8 itself reports syntax errors."""
        text = "".join(self._lines)
        # flake8 knows which suppressions are of use and which codes are wanted.
        codes = default_codes() - ERROR_CODES - {"LIT001"}
        source = Source(text, self._tree, [line.rstrip("\r\n") for line in self._lines])
        try:
            findings = lint(source, codes, Siblings(self._filename))
        except UnreadableSource as error:
            yield error.line, error.column - 1, f"LIT000 {error.message}", type(self)
            return
        for finding in findings:
            yield finding.line, finding.column - 1, f"{finding.code} {finding.message}", type(self)
