"""Edits of a file's text, made from nodes of its tree: what is not edited keeps its layout and its comments.

Each function gives None where the layout is one it cannot keep whole; the finding then has no fix.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from litify_linter.rule import Edit

if TYPE_CHECKING:
    from litify_linter.reading.file import Place


@dataclass(frozen=True, slots=True)
class Edits:
    """The edits of one fix."""

    edits: tuple[Edit, ...]
    block: tuple[int, int] | None = None


def replacement(node: ast.AST, here: Place, text: str) -> Edits:
    """`text` in place of an expression or keyword."""
    return Edits((Edit(*here.file.span(node), text),))


def without_call(call: ast.expr, here: Place) -> Edits | None:
    """`x.cuda()` -> `x`; as a statement of its own it goes altogether."""
    if isinstance(here.file.parents.get(call), ast.Expr):
        return without_statement(call, here)
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    dot = _dot(call.func, here)
    _, _, end_line, end = here.file.span(call)
    return Edits((Edit(*dot, end_line, end, ""),)) if dot is not None else None


def _dot(attribute: ast.Attribute, here: Place) -> tuple[int, int] | None:
    """Where the `.` of an attribute stands, with the line breaks before it; None if a comment is in between."""
    _, _, line, end = here.file.span(attribute)
    lines = here.file.lines
    before = lines[line - 1][: end - 1 - len(attribute.attr)].rstrip()
    if not before.endswith("."):
        return None
    before = before[:-1].rstrip()
    while not before and line > 1:
        line -= 1
        text = lines[line - 1].rstrip()
        if "#" in text:
            return None
        before = text.removesuffix("\\").rstrip()
    return line, len(before) + 1


def without_statement(expression: ast.AST, here: Place) -> Edits | None:
    """Takes away the statement that consists of this expression, its line and the comment on it."""
    statement = here.file.parents.get(expression)
    return removed(statement, here) if isinstance(statement, ast.Expr) else None


def removed(statement: ast.stmt, here: Place) -> Edits | None:
    """Takes a statement away, or puts `pass` in its place where the block would be empty."""
    block = _block(statement, here)
    if block is None:
        return None
    line, column, end_line, end = here.file.extent(statement)
    start = here.file.extent(block[0])[:2]
    if len(block) == 1:
        return Edits((Edit(line, column, end_line, end, "pass"),), start)
    lines = here.file.lines
    before, after = lines[line - 1][: column - 1], lines[end_line - 1][end - 1 :]
    if not before.strip() and re.fullmatch(r"\s*(?:#.*)?", after):
        # The line break goes too, if there is one after the last line.
        to = (end_line + 1, 1) if end_line < len(lines) else (end_line, len(lines[end_line - 1]) + 1)
        return Edits((Edit(line, 1, *to, ""),), start)
    follows = re.match(r"\s*;\s*(?=[^\s#])", after)
    if follows:
        return Edits((Edit(line, column, end_line, end + follows.end(), ""),), start)
    leads = re.search(r"\s*;\s*$", before)
    if leads:
        return Edits((Edit(line, leads.start() + 1, end_line, end, ""),), start)
    return Edits((Edit(line, column, end_line, end, "pass"),), start)


def _block(statement: ast.stmt, here: Place) -> list[ast.stmt] | None:
    parent = here.file.parents.get(statement)
    for field in ("body", "orelse", "finalbody"):
        block = getattr(parent, field, None)
        if isinstance(block, list) and any(one is statement for one in block):
            return block
    return None


def unwrapped(statement: ast.With | ast.AsyncWith, item: ast.expr, here: Place) -> Edits | None:
    """Takes a context out of a `with` statement; the body moves out where it was the only one."""
    lines, file = here.file.lines, here.file
    if len(statement.items) > 1:
        return _without_item(statement, item, here)
    body = statement.body
    line, column, _, _ = file.extent(statement)
    first_line, first_column, _, _ = file.extent(body[0])
    _, _, end_line, end = file.extent(body[-1])
    if lines[line - 1][: column - 1].strip():
        return None
    if first_line == line or lines[first_line - 1][: first_column - 1].strip():
        # `with no_grad(): f()` on one line; what stands after the colon stays where it is
        return Edits((Edit(line, column, first_line, first_column, ""),)) if first_line == line else None
    header_end = _header_end(item, here, first_line)
    if header_end is None or ";" in lines[end_line - 1][end - 1 :]:
        return None
    comment = lines[header_end - 1].partition("#")[2]
    margin = lines[line - 1][: column - 1]
    edits = [Edit(line, 1, header_end + 1, 1, f"{margin}#{comment}{file.newline}" if comment else "")]
    depth = first_column - column
    inside = _inside_strings(file.text, header_end + 1, end_line)
    for number in range(header_end + 1, end_line + 1):
        text = lines[number - 1]
        indent = len(text) - len(text.lstrip(" \t"))
        if number not in inside and text.strip():
            less = min(depth, max(indent - len(margin), 0))
            edits += [Edit(number, len(margin) + 1, number, len(margin) + 1 + less, "")] if less else []
    return Edits(tuple(edits))


def _without_item(statement: ast.With | ast.AsyncWith, item: ast.expr, here: Place) -> Edits | None:
    """`with no_grad(), other():` -> `with other():`."""
    items = statement.items
    index = next(i for i, one in enumerate(items) if one.context_expr is item)
    if items[index].optional_vars is not None:
        return None
    line, column, end_line, end = here.file.span(item)
    if index + 1 < len(items):
        next_line, next_column, _, _ = here.file.span(items[index + 1].context_expr)
        between = here.file.between((end_line, end), (next_line, next_column))
        ok = re.fullmatch(r"\s*,\s*", between)
        return Edits((Edit(line, column, next_line, next_column, ""),)) if ok else None
    last = items[index - 1].optional_vars or items[index - 1].context_expr
    _, _, before_line, before = here.file.span(last)
    between = here.file.between((before_line, before), (line, column))
    return (
        Edits((Edit(before_line, before, end_line, end, ""),)) if re.fullmatch(r"\s*,\s*", between) else None
    )


def _header_end(item: ast.expr, here: Place, first_line: int) -> int | None:
    """The line on which the header of a `with` ends in a colon."""
    _, _, line, end = here.file.span(item)
    while line < first_line:
        text = here.file.lines[line - 1][end - 1 :]
        if re.fullmatch(r"[\s)]*:\s*(?:#.*)?", text):
            return line
        if not re.fullmatch(r"[\s),]*", text):
            return None
        line, end = line + 1, 1
    return None


def _inside_strings(text: str, first: int, last: int) -> set[int]:
    """Lines that begin inside a string: their blanks are part of it."""
    found: set[int] = set()
    opened: list[int] = []  # f-strings are several tokens from Python 3.12 on
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind in {"FSTRING_START", "TSTRING_START"}:
            opened.append(token.start[0])
        elif kind in {"FSTRING_END", "TSTRING_END"}:
            found.update(range(opened.pop() + 1, token.end[0] + 1))
        elif token.type == tokenize.STRING:
            found.update(range(token.start[0] + 1, token.end[0] + 1))
    return {line for line in found if first <= line <= last}


def undecorated(decorator: ast.expr, here: Place) -> Edits | None:
    """Takes a decorator away, with its line."""
    line, column, end_line, end = here.file.span(decorator)
    before, after = here.file.lines[line - 1][: column - 1], here.file.lines[end_line - 1][end - 1 :]
    if before.strip() != "@" or not re.fullmatch(r"\s*(?:#.*)?", after):
        return None
    return Edits((Edit(line, 1, end_line + 1, 1, ""),))


def with_argument(call: ast.Call, here: Place, argument: str) -> Edits | None:
    """A call on one line with one more argument at its end."""
    line, _, end_line, end = here.file.span(call)
    text = here.file.lines[line - 1][: end - 2]
    if line != end_line or not here.file.lines[line - 1][: end - 1].endswith(")"):
        return None
    bare = text.rstrip()
    comma = (
        ""
        if bare.endswith("(") and not call.args and not call.keywords
        else " " if bare.endswith(",") else ", "
    )
    return Edits((Edit(line, len(bare) + 1, line, end - 1, comma + argument),))


def first_in_body(function: ast.FunctionDef | ast.AsyncFunctionDef, here: Place, text: str) -> Edits | None:
    """A statement at the beginning of a function, after its docstring."""
    body, lines = function.body, here.file.lines
    documented = ast.get_docstring(function, clean=False) is not None
    if documented and len(body) == 1:
        return after(body[0], here, text)
    target = body[1] if documented else body[0]
    line, column, _, _ = here.file.extent(target)
    margin = lines[line - 1][: column - 1]
    if target is not body[0] and here.file.span(body[0])[2] == line:
        return None
    if margin.strip():
        return None
    return Edits((Edit(line, 1, line, 1, f"{margin}{text}{here.file.newline}"),))


def last_in_body(body: list[ast.stmt], here: Place, text: str) -> Edits | None:
    """A statement at the end of a block."""
    return after(body[-1], here, text)


def after(statement: ast.stmt, here: Place, text: str) -> Edits | None:
    """A statement on the line after another, at the same depth."""
    line, column, end_line, _ = here.file.extent(statement)
    margin = here.file.lines[line - 1][: column - 1]
    length = len(here.file.lines[end_line - 1]) + 1
    if margin.strip():
        return None
    return Edits((Edit(end_line, length, end_line, length, f"{here.file.newline}{margin}{text}"),))


def joined(parts: Iterable[Edits | None]) -> Edits | None:
    """Several edits as one fix, None if one of them cannot be had."""
    every = list(parts)
    if not every or any(part is None for part in every):
        return None
    return Edits(tuple(edit for part in every if part is not None for edit in part.edits))
