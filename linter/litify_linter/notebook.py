"""Jupyter notebooks: their code cells as one Python text, and findings and edits back in cells.

IPython's own syntax is taken out line by line (magics, shell commands, help), so that line numbers stay.
"""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from litify_linter.reading.source import UnreadableSource, parse, split_lines
from litify_linter.rule import Edit, Finding, Fix

# Cell magics whose cell is Python; under all others (%%bash, %%html, ...) it is something else.
_PYTHON_CELLS = ("%%time", "%%timeit", "%%capture", "%%prun", "%%python3", "%%python ")
_IPYTHON_LINE = re.compile(r"^(\s*)(?:[%!?]|[\w.]+\?{1,2}\s*$|[\w, ]+=\s*(?:!|%\w))")
# Magics and shell commands that IPython takes without a mark: `pip install x`, `ls -l`, `cd ..`; not `ls = 3`.
_UNMARKED = re.compile(
    r"^(\s*)(?:pip|conda|mamba|ls|ll|cd|cat|cp|mv|rm|mkdir|rmdir|man|less|more|time|timeit|run|load_ext|reload_ext"
    r"|matplotlib|env|who|whos|pwd|history|prun|autoreload|pylab|set_env)[ \t]+"
    r"(?!(?:=|[-+*/%&|^<>!]=|[-+*/%&|^<>][ \t]|(?:in|is|if|and|or|not|for|else)\b))"
)
_STRING = re.compile(r"""'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|\#.*""")
_LINE_BREAK = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")


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
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        raise UnreadableSource("E902", "no Jupyter notebook of version 4: it has no list of cells")
    cells = []
    for number, cell in enumerate(document["cells"], 1):
        if isinstance(cell, dict) and cell.get("cell_type") == "code" and _language(document) == "python":
            cells.append(Cell(number, _source(cell)))
    return Notebook(document, tuple(cells))


def _language(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    kernel = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    language = kernel.get("language", "python") if isinstance(kernel, dict) else "python"
    return str(language)


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""


def python_of(source: str) -> str:
    """A cell's text with IPython's own lines replaced by as many lines of Python that do nothing."""
    try:
        parse(source)
        return source
    except UnreadableSource:
        pass
    first = source.lstrip()
    if first.startswith("%%") and not first.startswith(_PYTHON_CELLS):
        return re.sub(r"[^\r\n]+", "", source)
    blanked = _blanked(source, in_brackets=False)
    try:
        parse(blanked)
    except UnreadableSource:
        return _blanked(source, in_brackets=True)
    return blanked


def _blanked(source: str, in_brackets: bool) -> str:
    """The text without IPython's lines; unless `in_brackets`, not those that go on inside an open bracket, `(x\n%y)`."""
    lines, continued, depth = [], False, 0
    for line in _LINE_BREAK.split(source):
        match = None
        if in_brackets or depth <= 0:
            match = _IPYTHON_LINE.match(line) or _UNMARKED.match(line)
        if match or continued:
            end = line[len(line.rstrip("\r\n")) :]
            continued = line.rstrip().endswith("\\")
            line = (f"{match[1]}pass" if match else "") + end
        bare = _STRING.sub("", line)
        depth += sum(map(bare.count, "([{")) - sum(map(bare.count, ")]}"))
        lines.append(line)
    return "".join(lines)


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
    layout = _layout(notebook.document, data)
    if layout is None:
        return None
    for number, source in sources.items():
        cell = notebook.document["cells"][number - 1]
        as_list = isinstance(cell["source"], list)
        cell["source"] = [part for part in _LINE_BREAK.split(source) if part] if as_list else source
    return _dumped(notebook.document, *layout)


def _layout(document: dict[str, Any], data: bytes) -> tuple[int | None, bool, str] | None:
    end = "\n" if data.endswith(b"\n") else ""
    for indent in (1, 2, 4, None):
        for ascii_only in (False, True):
            if _dumped(document, indent, ascii_only, end) == data:
                return indent, ascii_only, end
    return None


def _dumped(document: dict[str, Any], indent: int | None, ascii_only: bool, end: str) -> bytes:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only) + end
    return text.encode("utf-8", errors="surrogatepass")
