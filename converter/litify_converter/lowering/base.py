"""What a lowering is, and the edits it asks for."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from litify_converter.blocks import inner_blocks
from litify_converter.ir import Note
from litify_converter.read import Script


@dataclass(frozen=True)
class Edit:
    """`text` in the place of the source from `start` to `end`, each a line (1-based) and a column (0-based, in characters)."""

    start: tuple[int, int]
    end: tuple[int, int]
    text: str
    origin: int = 0  # the line that the text stands for, where it is not the first of those replaced


@dataclass
class Lowered:
    """What a lowering found: edits that don't overlap, and what the stages behind need to know."""

    edits: list[Edit] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    trainer: dict[str, str] = field(default_factory=dict)  # Trainer arguments, in the names of the entry
    is_source: bool = (
        False  # what is rewritten counts as the script from here on: code of other files came in
    )


class Lowering:
    """A rewrite of the script, before it is taken apart, into plainer Python that trains the same.

    `find` answers None where there is nothing to rewrite. A construct that it can't rewrite it leaves alone, or
    refuses with the reason where no later stage could do better.
    """

    name = ""
    words: tuple[str, ...] = ()  # a script without any of them is not looked at

    def find(self, script: Script) -> Lowered | None:
        """What to rewrite.

        Raises:
            Refusal: the construct can't be rewritten, and nothing else can convert it.
        """
        raise NotImplementedError


class Text:
    """The source of a script by lines, with ast's places (columns in bytes) turned into characters."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines(keepends=True)

    def start(self, node: ast.AST) -> tuple[int, int]:
        return self._place(node.lineno, node.col_offset)  # type: ignore[attr-defined]

    def end(self, node: ast.AST) -> tuple[int, int]:
        return self._place(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def _place(self, line: int, column: int) -> tuple[int, int]:
        return line, len(self.lines[line - 1].encode()[:column].decode())

    def replace(self, node: ast.AST, text: str) -> Edit:
        """`text` in the place of an expression or a statement."""
        return Edit(self.start(node), self.end(node), text)

    def insert(self, line: int, text: str, origin: int) -> Edit:
        """`text` before a line, standing for the line `origin`."""
        return Edit((line, 0), (line, 0), text, origin)

    def first_line(self, statement: ast.stmt) -> int:
        """Where a statement starts, its decorators included."""
        decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
        return decorators[0].lineno if decorators else statement.lineno

    def remove(self, statement: ast.stmt) -> Edit:
        """A statement gone with its lines, and with the comment lines right above it, which spoke of it."""
        first = self.first_line(statement)
        last = statement.end_lineno or statement.lineno
        while first > 1 and self.lines[first - 2].strip().startswith("#"):
            first -= 1
        return Edit((first, 0), (last + 1, 0), "")

    def indent(self, statement: ast.stmt) -> str:
        line = self.lines[statement.lineno - 1]
        return line[: len(line) - len(line.lstrip())]

    def source(self, first: int, last: int) -> str:
        """Whole lines, from `first` to `last`."""
        return "".join(self.lines[first - 1 : last])

    def rewritten(self, first: int, last: int, places: Mapping[ast.expr, str]) -> list[str]:
        """Whole lines, from `first` to `last`, with other texts in the places of expressions that end on their own line."""
        lines = self.lines[first - 1 : last]
        for node in sorted(places, key=lambda n: (n.lineno, n.col_offset), reverse=True):
            if first <= node.lineno <= last and node.lineno == node.end_lineno:
                (line, start), (_, end) = self.start(node), self.end(node)
                whole = lines[line - first]
                lines[line - first] = whole[:start] + places[node] + whole[end:]
        return lines

    def of(self, node: ast.AST) -> str:
        """The source of a node."""
        (first, column), (last, end) = self.start(node), self.end(node)
        if first == last:
            return self.lines[first - 1][column:end]
        inner = self.lines[first : last - 1]
        return "".join([self.lines[first - 1][column:], *inner, self.lines[last - 1][:end]])


def apply(text: str, lines: Sequence[int], edits: Iterable[Edit]) -> tuple[str, list[int]]:
    """The text with its edits, and for each of its lines the line of the original script (`lines`: for those of `text`)."""
    source = Text(text).lines
    result: list[str] = []
    origins: list[int] = []
    at = (1, 0)

    def origin(part: str, edit: Edit, near: int) -> int:
        """The line of the replaced text that a new line was copied from; else `near`."""
        wanted = part.strip()
        last = min(edit.end[0], len(source))
        numbers: list[int] = [*range(near, last + 1), *range(edit.start[0], near)]
        return next((n for n in numbers if source[n - 1].strip() == wanted), near)

    def copy(end: tuple[int, int]) -> None:
        for number in range(at[0], min(end[0], len(source)) + 1):
            line = source[number - 1]
            first = at[1] if number == at[0] else 0
            last = end[1] if number == end[0] else len(line)
            add(line[first:last], number)

    def add(piece: str, number: int) -> None:
        for part in piece.splitlines(keepends=True):
            if not result or result[-1].endswith("\n"):
                result.append(part)
                origins.append(lines[min(number, len(lines)) - 1])
            else:
                result[-1] += part

    # What is put in comes first; of two that replace, the larger one.
    for edit in sorted(edits, key=lambda e: (e.start, e.end != e.start, (-e.end[0], -e.end[1]))):
        if edit.start < at:
            continue  # inside of what an edit around it has rewritten
        copy(edit.start)
        near = edit.origin or edit.start[0]
        for part in edit.text.splitlines(keepends=True):
            near = origin(part, edit, near)
            add(part, near)
        at = edit.end
    copy((len(source) + 1, 0))
    return "".join(result), origins


def inside_strings(node: ast.AST) -> set[int]:
    """Lines that belong to a string which began on a line before: their blanks are text."""
    found: set[int] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.JoinedStr) or (isinstance(one, ast.Constant) and isinstance(one.value, str)):
            found |= set(range(one.lineno + 1, (one.end_lineno or one.lineno) + 1))
    return found


def header_end(text: Text, body: Sequence[ast.stmt], line: int) -> int:
    """The line of the colon that ends a header, whose last expression ends on `line`."""
    while line < body[0].lineno and not text.lines[line - 1].partition("#")[0].rstrip().endswith(":"):
        line += 1
    return line


def shifted(text: Text, body: Sequence[ast.stmt], first: int, last: int, indent: str) -> str:
    """The lines of a block, from `first` to `last`, indented as `indent`."""
    inner = text.indent(body[0])
    fixed = {line for statement in body for line in inside_strings(statement)}
    lines = []
    for number in range(first, last + 1):
        line = text.lines[number - 1]
        move = line.startswith(inner) and number not in fixed
        lines.append(indent + line[len(inner) :] if move else line)
    whole = "".join(lines)
    return whole if whole.endswith("\n") else whole + "\n"


def opened(text: Text, statement: ast.With | ast.If) -> list[Edit] | None:
    """A block without its header: edits line by line, so that others may change the lines too."""
    inner, outer = text.indent(statement.body[0]), text.indent(statement)
    heads = [statement.test] if isinstance(statement, ast.If) else [i.context_expr for i in statement.items]
    header = header_end(text, statement.body, max(head.end_lineno or 0 for head in heads))
    if statement.body[0].lineno <= header or not inner.startswith(outer):
        return None
    fixed = inside_strings(statement)
    edits = [Edit((statement.lineno, 0), (header + 1, 0), "")]
    for number in range(header + 1, (statement.end_lineno or header) + 1):
        if text.lines[number - 1].startswith(inner) and number not in fixed:
            edits.append(Edit((number, len(outer)), (number, len(inner)), ""))
    return edits


def removed(text: Text, body: list[ast.stmt], gone: set[ast.stmt], outermost: bool = True) -> list[Edit]:
    """The edits that take statements out of a block and the blocks below it."""
    edits = []
    if body and not outermost and all(s in gone for s in body):
        edits.append(text.replace(body[0], "pass"))
        body = body[1:]
    for statement in body:
        if statement in gone:
            edits.append(text.remove(statement))
        elif not isinstance(statement, ast.ClassDef):
            for block in inner_blocks(statement):
                edits += removed(text, block, gone, outermost=False)
    return edits


def emptied(body: list[ast.stmt], gone: set[ast.stmt]) -> set[ast.stmt]:
    """`if`s of which nothing is left, where asking does nothing either."""
    found: set[ast.stmt] = set()
    for statement in body:
        for block in inner_blocks(statement):
            found |= emptied(block, gone)
        if not isinstance(statement, ast.If):
            continue
        asks = any(isinstance(n, ast.Call | ast.NamedExpr) for n in ast.walk(statement.test))
        if not asks and all(s in gone | found for s in [*statement.body, *statement.orelse]):
            found.add(statement)
    return found
