"""A file's way through its fixes: lint > apply what does not overlap > lint again, until nothing is left to fix."""

from __future__ import annotations

import codecs
import contextlib
import difflib
import io
import os
import re
import shutil
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from litify_linter.check import check_source
from litify_linter.checked import Checked
from litify_linter.config import Settings
from litify_linter.notebook import read_notebook, written
from litify_linter.reading.source import UnreadableSource, parse, read_source
from litify_linter.rule import Edit, Finding, Fix

_LINE_BREAK = re.compile(r"\r\n|\r|\n")
# Each pass removes at least one finding; more passes than this only a file of thousands of lines could want.
PASSES = 100


@dataclass(frozen=True, slots=True)
class Fixed:
    """A file after its fixes: what is left to find in it, its bytes, and how often each rule was fixed."""

    checked: Checked
    data: bytes
    counts: Counter[tuple[str, str]]  # (code, name) -> number


def fix_source(data: bytes, path: str, settings: Settings, unsafe: bool = False, named: bool = True) -> Fixed:
    """Apply all fixes of the findings on a file, unsafe ones if wanted. Nothing is written.

    Line breaks, encoding and byte order mark stay as they are. A set of edits after which the file would no longer
    parse is not applied.
    """
    checked = check_source(data, path, settings, named)
    counts: Counter[tuple[str, str]] = Counter()
    for _ in range(PASSES):
        chosen = _compatible(checked.findings, unsafe)
        new = _with_edits(data, path, chosen) if chosen else None
        if new is None or new == data or not _parses(new, path):
            break
        data = new
        counts.update((finding.code, finding.name) for finding in chosen)
        checked = check_source(data, path, settings, named)
    return Fixed(checked, data, counts)


def write(path: str, data: bytes) -> None:
    """Put new content into a file: written beside it, then renamed, its permissions kept. Raises OSError."""
    target = os.path.realpath(path)
    beside = f"{target}.litify{os.getpid()}"
    try:
        with open(beside, "wb") as file:
            file.write(data)
        shutil.copymode(target, beside)
        os.replace(beside, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)


def difference(path: str, old: bytes, new: bytes) -> Iterator[str]:
    """A unified diff between two versions of a file, of a notebook for each cell; pieces end in a line break."""
    for name, before, after in _parts(path, old, new):
        lines = difflib.unified_diff(before, after, name, name)
        for line in lines:
            yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _parts(path: str, old: bytes, new: bytes) -> Iterator[tuple[str, list[str], list[str]]]:
    if not path.endswith(".ipynb"):
        yield path, _lines(_decoded(old)), _lines(_decoded(new))
        return
    for before, after in zip(read_notebook(old).cells, read_notebook(new).cells, strict=True):
        yield f"{path}:cell {before.number}", _lines(before.source), _lines(after.source)


def _lines(text: str | None) -> list[str]:
    return io.StringIO(text or "", newline=None).readlines()


def _with_edits(data: bytes, path: str, chosen: list[Finding]) -> bytes | None:
    if path.endswith(".ipynb"):
        notebook = read_notebook(data)
        edits: dict[int, list[Edit]] = {}
        for finding in chosen:
            edits.setdefault(finding.cell or 0, []).extend(_fix(finding).edits)
        sources = {c.number: apply(c.source, edits[c.number]) for c in notebook.cells if c.number in edits}
        return written(notebook, sources, data)
    text = _decoded(data)
    if text is None:
        return None
    return _encoded(apply(text, [edit for finding in chosen for edit in _fix(finding).edits]), data)


def _fix(finding: Finding) -> Fix:
    assert finding.fix is not None
    return finding.fix


def _compatible(findings: tuple[Finding, ...], unsafe: bool) -> list[Finding]:
    """The findings to fix in one pass: no edits that touch, and from each block one statement at most."""
    chosen: list[Finding] = []
    taken: list[Edit] = []
    blocks = set()
    for finding in findings:
        fix = finding.fix
        if fix is None or not (fix.safe or unsafe) or (fix.block is not None and fix.block in blocks):
            continue
        if any(_touch(edit, other) for edit in fix.edits for other in taken):
            continue
        chosen.append(finding)
        taken += fix.edits
        blocks.add(fix.block)
    return chosen


def _touch(one: Edit, other: Edit) -> bool:
    return (one.line, one.column) <= (other.end_line, other.end_column) and (other.line, other.column) <= (
        one.end_line,
        one.end_column,
    )


def apply(text: str, edits: list[Edit]) -> str:
    """A text with edits in it that do not overlap."""
    starts = [0, *(match.end() for match in _LINE_BREAK.finditer(text)), len(text)]

    def offset(line: int, column: int) -> int:
        return min(starts[min(line, len(starts)) - 1] + column - 1, len(text))

    for edit in sorted(edits, key=lambda e: (e.line, e.column, e.end_line, e.end_column), reverse=True):
        start, end = offset(edit.line, edit.column), offset(edit.end_line, edit.end_column)
        text = text[:start] + edit.text + text[end:]
    return text


def _encoding(data: bytes) -> str:
    return tokenize.detect_encoding(io.BytesIO(data).readline)[0]


def _decoded(data: bytes) -> str | None:
    """The text, None for what cannot be read; its finding has no fix anyway."""
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode(_encoding(data).removesuffix("-sig"))
    except (SyntaxError, UnicodeDecodeError):
        return None


def _encoded(text: str, data: bytes) -> bytes:
    """The text in the encoding of the bytes it came from, with their byte order mark."""
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    return mark + text.encode(_encoding(data).removesuffix("-sig"))


def _parses(data: bytes, path: str) -> bool:
    try:
        if path.endswith(".ipynb"):
            parse(read_notebook(data).text)
        else:
            read_source(data)
    except UnreadableSource:
        return False
    return True
