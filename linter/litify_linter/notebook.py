"""Jupyter notebooks: their code cells as one Python text, and findings and edits back in cells.

IPython's own syntax is taken out line by line (magics, shell commands, help), so that line numbers stay.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from litify_linter.ipython import python_of, with_ends
from litify_linter.reading.source import UnreadableSource, split_lines
from litify_linter.rule import Edit, Finding, Fix

PYTHON = ("python", "ipython")  # as kernels call their language


@dataclass(frozen=True, slots=True)
class Cell:
    """One code cell."""

    number: int  # among all cells of the notebook, from 1
    source: str


@dataclass(frozen=True)
class Notebook:
    """A notebook that was read: its document and its code cells."""

    document: dict[str, Any]
    cells: tuple[Cell, ...]

    @property
    def language(self) -> str:
        """Of the code cells, in lower case; "python" where the notebook does not say."""
        return _language(self.document)

    @property
    def text(self) -> str:
        """The Python of all code cells, one after the other, IPython's lines blanked."""
        return "".join(python_of(cell.source).rstrip("\r\n") + "\n" for cell in self.cells)

    @property
    def starts(self) -> tuple[int, ...]:
        """For each cell, how many lines of `text` come before it."""
        starts, line = [], 0
        for cell in self.cells:
            starts.append(line)
            line += len(split_lines(cell.source.rstrip("\r\n")))
        return tuple(starts)


def read_notebook(data: bytes) -> Notebook:
    """The notebook in a file. Raises UnreadableSource where it is none."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableSource("E902", f"no Jupyter notebook: {error}") from None
    if isinstance(document, dict) and isinstance(document.get("worksheets"), list):
        raise UnreadableSource(
            "E902", "a notebook of version 3: open and save it in Jupyter, which writes version 4"
        )
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        raise UnreadableSource("E902", "no Jupyter notebook of version 4: it has no list of cells")
    cells = []
    for number, cell in enumerate(document["cells"], 1):
        if isinstance(cell, dict) and cell.get("cell_type") == "code" and _language(document) in PYTHON:
            cells.append(Cell(number, _source(cell)))
    return Notebook(document, tuple(cells))


def _language(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return "python"
    for part, key in (("kernelspec", "language"), ("language_info", "name")):
        about = metadata.get(part)
        if isinstance(about, dict) and isinstance(about.get(key), str):
            return str(about[key]).lower()
    return "python"


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""


def in_cells(findings: Iterable[Finding], notebook: Notebook) -> tuple[Finding, ...]:
    """Findings on `notebook.text` with the lines of the cells they stand in; a fix stays where it is within one cell."""
    starts = notebook.starts
    found = []
    for finding in findings:
        index = max(bisect.bisect_left(starts, finding.line) - 1, 0)
        before = starts[index]
        after = starts[index + 1] if index + 1 < len(starts) else None
        found.append(
            replace(
                finding,
                line=finding.line - before,
                end_line=finding.end_line - before,
                cell=notebook.cells[index].number if notebook.cells else None,
                fix=(
                    _in_cell(finding.fix, before, after, notebook.cells[index].source)
                    if finding.fix
                    else None
                ),
            )
        )
    return tuple(found)


def _in_cell(fix: Fix, before: int, after: int | None, source: str) -> Fix | None:
    lines = split_lines(source.rstrip("\r\n"))
    edits = []
    for edit in fix.edits:
        end_line, end_column = edit.end_line - before, edit.end_column
        if edit.line <= before or (after is not None and edit.line > after):
            return None
        if end_line > len(lines):  # up to the line after the last one of the cell
            end_line, end_column = len(lines), len(lines[-1]) + 1
        edits.append(Edit(edit.line - before, edit.column, end_line, end_column, edit.text))
    block = (fix.block[0] - before, fix.block[1]) if fix.block else None
    return Fix(tuple(edits), fix.safe, block)


def written(notebook: Notebook, sources: dict[int, str], data: bytes) -> bytes | None:
    """The file with new sources for some cells (number -> text), all else byte for byte as it was.

    None where the file is laid out in a way that cannot be written again.
    """
    layout = layout_of(notebook.document, data)
    if layout is None:
        return None
    for number, source in sources.items():
        cell = notebook.document["cells"][number - 1]
        cell["source"] = as_source(source, isinstance(cell["source"], list))
    return dumped(notebook.document, *layout)


def as_source(text: str, as_list: bool = True) -> list[str] | str:
    """A cell's text as a notebook holds it: a list of lines, or, as some programs write, one string."""
    return [part for part in with_ends(text) if part] if as_list else text


def layout_of(document: dict[str, Any], data: bytes) -> tuple[int | None, bool, str] | None:
    """How `dumped` writes a document as it is in a file (indent, ASCII only, end), or None where it can't."""
    end = "\n" if data.endswith(b"\n") else ""
    for indent in (1, 2, 4, None):
        for ascii_only in (False, True):
            if dumped(document, indent, ascii_only, end) == data:
                return indent, ascii_only, end
    return None


def dumped(
    document: dict[str, Any], indent: int | None = 1, ascii_only: bool = False, end: str = "\n"
) -> bytes:
    """The file of a notebook, by default laid out as Jupyter does it."""
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only) + end
    return text.encode("utf-8", errors="surrogatepass")
