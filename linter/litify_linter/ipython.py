"""IPython's own lines in a cell of a notebook: magics, shell commands, help. They are no Python; all else of a cell is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from litify_linter.reading.source import UnreadableSource, parse

# Cell magics whose cell is Python; under all others (%%bash, %%html, ...) it is something else.
_PYTHON_CELLS = ("%%time", "%%timeit", "%%capture", "%%prun", "%%python3", "%%python ", "%%wandb")
_IPYTHON_LINE = re.compile(r"^(\s*)(?:[%!?]|[\w.]+\?{1,2}\s*$|[\w, ]+=\s*(?:!|%\w))")
# Magics and shell commands that IPython takes without a mark: `pip install x`, `ls -l`, `cd ..`; not `ls = 3`.
_UNMARKED = re.compile(
    r"^(\s*)(?:pip|conda|mamba|ls|ll|cd|cat|cp|mv|rm|mkdir|rmdir|man|less|more|time|timeit|run|load_ext|reload_ext"
    r"|matplotlib|env|who|whos|pwd|history|prun|autoreload|pylab|set_env)[ \t]+"
    r"(?!(?:=|[-+*/%&|^<>!]=|[-+*/%&|^<>][ \t]|(?:in|is|if|and|or|not|for|else)\b))"
)
# What a bracket or the end of a line can hide in: strings, of one line or begun with three quotes, and comments.
_HIDING = re.compile(
    r"""\"{3}|'{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|\#[^\r\n]*|[(\[{]|[)\]}]""", re.DOTALL
)
_LINE_BREAK = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")


@dataclass(frozen=True, slots=True)
class Command:
    """Lines of a cell, from `first` to `last` (from 1), that IPython reads; `text` is theirs, without the indent."""

    first: int
    last: int
    indent: str
    text: str
    is_cell: bool = False  # the whole cell, in another language than Python


def with_ends(source: str) -> list[str]:
    """The lines of a text, each with its line break; the last one may be empty."""
    return _LINE_BREAK.split(source)


def commands(source: str) -> tuple[Command, ...]:
    """IPython's lines of a cell, in their order; none where the cell is Python as it stands."""
    try:
        parse(source)
        return ()
    except UnreadableSource:
        pass
    lines = with_ends(source)
    first = source.lstrip()
    if first.startswith("%%") and not first.startswith(_PYTHON_CELLS):
        return (Command(1, len(lines), "", source, is_cell=True),)
    found = tuple(_found(lines, in_brackets=False))
    try:
        parse(_blanked(lines, found))
    except UnreadableSource:
        return tuple(_found(lines, in_brackets=True))
    return found


def python_of(source: str) -> str:
    """A cell's text with IPython's own lines replaced by as many lines of Python that do nothing."""
    return _blanked(with_ends(source), commands(source))


def _blanked(lines: list[str], found: tuple[Command, ...]) -> str:
    lines = list(lines)
    for command in found:
        for number in range(command.first, command.last + 1):
            line = lines[number - 1]
            does_nothing = f"{command.indent}pass" if number == command.first and not command.is_cell else ""
            lines[number - 1] = does_nothing + line[len(line.rstrip("\r\n")) :]
    return "".join(lines)


def _found(lines: list[str], in_brackets: bool) -> Iterator[Command]:
    """IPython's lines; unless `in_brackets`, not those that go on inside an open bracket, `(x\n%y)`."""
    depth, quotes, number = 0, "", 0
    while number < len(lines):
        line = lines[number]
        match = None
        if not quotes and (in_brackets or depth <= 0):
            match = _IPYTHON_LINE.match(line) or _UNMARKED.match(line)
        if match is None:
            depth, quotes = _after(line, depth, quotes)
            number += 1
            continue
        last = number
        while last + 1 < len(lines) and lines[last].rstrip().endswith("\\"):
            last += 1
        indent = match[1]
        text = "".join(lines[number : last + 1]).rstrip("\r\n")
        yield Command(number + 1, last + 1, indent, text[len(indent) :])
        number = last + 1


def _after(line: str, depth: int, quotes: str) -> tuple[int, str]:
    """Open brackets and the open three quotes (or none) behind a line of Python."""
    place = 0
    while True:
        if quotes:
            end = re.compile(rf"(?:\\.|[^\\])*?{quotes}", re.DOTALL).match(line, place)
            if end is None:
                return depth, quotes
            place, quotes = end.end(), ""
        found = _HIDING.search(line, place)
        if found is None:
            return depth, quotes
        place = found.end()
        if found[0] in ('"""', "'''"):
            quotes = found[0]
        else:
            depth += (found[0] in "([{") - (found[0] in ")]}")
