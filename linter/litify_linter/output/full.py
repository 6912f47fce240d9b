"""The line of code with a caret under what was found."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from litify_linter.output.concise import headline
from litify_linter.output.style import paint, printable
from litify_linter.rule import Finding

if TYPE_CHECKING:
    from litify_linter.checked import Checked

CONTEXT = 2  # lines shown before the one in question
WIDTH = 160  # longer lines are cut: minified code would fill the screen


def render(files: Sequence[Checked], colour: bool) -> Iterator[str]:
    """Headline, code and caret for each finding, with a blank line after it."""
    for file in files:
        for finding in file.findings:
            yield headline(file.path, finding, colour) + "\n" + _excerpt(
                file.lines, file.line_of(finding), finding, colour
            ) + "\n"


def _excerpt(lines: Sequence[str], line: int, finding: Finding, colour: bool) -> str:
    before_cell = line - finding.line
    first = max(before_cell + 1, line - CONTEXT)
    shown = [(n - before_cell, lines[n - 1]) for n in range(first, line + 1) if n <= len(lines)]
    if not shown:
        return ""
    width = len(str(finding.line))
    bar = paint("|", "blue", colour)
    margin = f"{'':{width}} {bar}"
    code = [
        f"{paint(f'{n:>{width}}', 'blue', colour)} {bar} {printable(text)[:WIDTH]}".rstrip()
        for n, text in shown
    ]
    text = shown[-1][1]
    end = finding.end_column if finding.end_line == finding.line else len(text) + 1
    indent = _columns(text[: finding.column - 1])
    length = max(1, _columns(text[finding.column - 1 : end - 1]))
    if indent >= WIDTH:
        return "\n".join([margin, *code]) + "\n"
    caret = paint("^" * min(length, WIDTH - indent), "red", colour)
    return (
        "\n".join([margin, *code, f"{margin} {' ' * indent}{caret} {paint(finding.code, 'red', colour)}"])
        + "\n"
    )


def _columns(text: str) -> int:
    """How many terminal columns a text takes: East Asian characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text
    )
