"""A block of code with a name known to be one constant: branches that ask for it are decided, then it is written out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from litify_converter.blocks import inner_blocks
from litify_converter.lowering.base import Text, apply, header_end
from litify_linter.reading.scopes import Function

GRAD = {"torch.set_grad_enabled", "set_grad_enabled"}
ENABLED = {"torch.enable_grad", "enable_grad"}
Constant = str | int | float | bool | None


def specialised(block: str, name: str, value: Constant) -> str | None:
    """The block where `name` is the constant `value`; None where that can't be written."""
    for _ in range(200):
        tree = ast.parse(block)
        found = next(_foldable(tree.body, name, value), None)
        if found is None:
            made = _written_out(block, tree, name, value)
            if made is None or next(_foldable(ast.parse(made).body, name, value), None) is None:
                return made
            block = made  # `with enable_grad() if phase == "train" else no_grad():` has been chosen
            continue
        folded = _folded(block, *found)
        if folded is None:
            return None
        block = folded
    return None


def truth(test: ast.expr, name: str, value: Constant) -> bool | None:
    """What a test gives where `name` is `value`; None where it depends on something else too."""
    match test:
        case ast.Name(id=only) if only == name:
            return bool(value)
        case ast.Compare(left=ast.Name(id=left), ops=[op], comparators=[right]) if left == name:
            return _compared(op, right, value)
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            found = truth(inner, name, value)
            return None if found is None else not found
        case ast.BoolOp(op=op, values=values):
            every = [truth(v, name, value) for v in values]
            decides = isinstance(op, ast.Or)  # `or` is decided by one True, `and` by one False
            if every[0] is decides:
                return decides
            return None if None in every else all(every) if isinstance(op, ast.And) else any(every)
    return None


def _compared(op: ast.cmpop, right: ast.expr, value: Constant) -> bool | None:
    match op, right:
        case ast.Is() | ast.IsNot(), ast.Constant(value=None):
            return (value is None) is isinstance(op, ast.Is)
        case ast.Eq(), ast.Constant(value=other):
            return value == other
        case ast.NotEq(), ast.Constant(value=other):
            return value != other
        case (ast.Gt() | ast.GtE() | ast.Lt() | ast.LtE()), ast.Constant(
            value=int() | float() as other
        ) if isinstance(value, int | float):
            order = {ast.Gt: value > other, ast.GtE: value >= other, ast.Lt: value < other}
            return order.get(type(op), value <= other)
        case (ast.In() | ast.NotIn()), (
            ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements)
        ):
            others = [e.value for e in elements if isinstance(e, ast.Constant)]
            if len(others) == len(elements):
                return (value in others) is isinstance(op, ast.In)
    return None


Found = tuple[ast.stmt, bool, bool]  # statement, what its test gives, whether it stands alone in its block


def _foldable(body: list[ast.stmt], name: str, value: Constant) -> Iterator[Found]:
    for statement in body:
        match statement:
            case ast.If(test=test) if (found := truth(test, name, value)) is not None:
                yield statement, found, len(body) == 1
            case ast.With(
                items=[ast.withitem(context_expr=ast.Call(func=func, args=[test]), optional_vars=None)]
            ) if (ast.unparse(func) in GRAD and (found := truth(test, name, value)) is not None):
                yield statement, found, len(body) == 1
            case ast.With(
                items=[ast.withitem(context_expr=ast.Call(func=func, args=[]), optional_vars=None)]
            ) if (ast.unparse(func) in ENABLED):
                yield statement, True, len(body) == 1
        for block in inner_blocks(statement):
            yield from _foldable(block, name, value)


def _folded(block: str, statement: ast.stmt, found: bool, alone: bool) -> str | None:
    """The block with one statement decided."""
    lines = block.splitlines(keepends=True)
    first, last = statement.lineno, statement.end_lineno or statement.lineno
    assert isinstance(statement, ast.If | ast.With)
    if any(_over_lines(n) for n in ast.walk(statement)) or statement.body[0].lineno == statement.lineno:
        return None
    indent = _indent(lines[first - 1])
    if isinstance(statement, ast.With):
        if found:
            return "".join(
                [*lines[: first - 1], *_kept(lines, statement.body, first + 1, indent), *lines[last:]]
            )
        return "".join([*lines[: first - 1], f"{indent}with torch.no_grad():\n", *lines[first:]])
    if lines[first - 1].strip().startswith("elif"):
        return _folded_elif(lines, statement, found, indent)
    header = header_end(Text(block), statement.body, statement.test.end_lineno or first)
    if found:
        kept = _kept(lines, statement.body, header + 1, indent)
    elif not statement.orelse:
        kept = [f"{indent}pass\n"] if alone else []
    elif _is_elif(lines, statement.orelse):
        start = statement.orelse[0].lineno
        kept = [lines[start - 1].replace("elif", "if", 1), *lines[start:last]]
    else:
        kept = _kept(lines, statement.orelse, _else_line(lines, statement) + 1, indent)
    start = first - 1
    while not kept and start and lines[start - 1].strip().startswith("#"):  # it spoke of what went
        start -= 1
    return "".join([*lines[:start], *kept, *lines[last:]])


def _folded_elif(lines: list[str], statement: ast.If, found: bool, indent: str) -> str:
    first, last = statement.lineno, statement.end_lineno or statement.lineno
    end = statement.body[-1].end_lineno or first
    if found:
        header = header_end(Text("".join(lines)), statement.body, statement.test.end_lineno or first)
        body = lines[header:end]
        return "".join([*lines[: first - 1], f"{indent}else:\n", *body, *lines[last:]])
    return "".join([*lines[: first - 1], *lines[end:]])  # the branches behind it stay as they are


def _kept(lines: list[str], body: list[ast.stmt], first: int, indent: str) -> list[str]:
    """The lines of a branch, moved out by one level."""
    inner = _indent(lines[body[0].lineno - 1])
    kept = []
    for line in lines[first - 1 : body[-1].end_lineno]:
        kept.append(indent + line[len(inner) :] if line.startswith(inner) else line)
    return kept


def _is_elif(lines: list[str], orelse: list[ast.stmt]) -> bool:
    return isinstance(orelse[0], ast.If) and lines[orelse[0].lineno - 1].strip().startswith("elif")


def _else_line(lines: list[str], statement: ast.If) -> int:
    line = statement.orelse[0].lineno - 1
    while not lines[line - 1].strip().startswith("else"):
        line -= 1
    return line


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _over_lines(node: ast.AST) -> bool:
    text = isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    return text and node.lineno != node.end_lineno  # type: ignore[attr-defined]


def _written_out(block: str, tree: ast.Module, name: str, value: Constant) -> str | None:
    """The constant in the place of the name; where tests are left that hold it, they are simplified."""
    text = Text(block)
    edits = []
    inside: set[int] = set()
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.JoinedStr):
            inside |= {id(n) for n in ast.walk(node)}
            if any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node)):
                new = _in_f_string(text.of(node), name, value)
                if new is None:
                    return None
                edits.append(text.replace(node, new))
        elif isinstance(node, ast.IfExp) and (found := truth(node.test, name, value)) is not None:
            inside |= {id(n) for n in ast.walk(node)}
            chosen = node.body if found else node.orelse
            if any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(chosen)):
                return None
            edits.append(text.replace(node, text.of(chosen)))
        elif isinstance(node, ast.BoolOp) and (rest := _undecided(node, name, value)) is not None:
            inside |= {id(n) for n in ast.walk(node)}
            word = " and " if isinstance(node.op, ast.And) else " or "
            if any(isinstance(n, ast.Name) and n.id == name for r in rest for n in ast.walk(r)):
                return None
            edits.append(text.replace(node, word.join(_part(text, r) for r in rest)))
        elif isinstance(node, ast.Name) and node.id == name:
            if not isinstance(node.ctx, ast.Load):
                return None
            edits.append(text.replace(node, repr(value)))
    return apply(block, range(1, len(text.lines) + 1), edits)[0]


def _part(text: Text, node: ast.expr) -> str:
    """A part of a test, whose own text leaves out the brackets around it."""
    bare = not isinstance(node, ast.BoolOp | ast.IfExp | ast.NamedExpr | ast.Lambda)
    return text.of(node) if bare and node.lineno == node.end_lineno else f"({text.of(node)})"


def _undecided(node: ast.BoolOp, name: str, value: Constant) -> list[ast.expr] | None:
    """What is left of `phase == "val" and better`, where a part is decided without deciding all."""
    neutral = isinstance(node.op, ast.And)
    rest = [v for v in node.values if truth(v, name, value) is not neutral]
    decided = any(truth(v, name, value) is not None for v in rest)
    return rest if rest and len(rest) < len(node.values) and not decided else None


def _in_f_string(source: str, name: str, value: Constant) -> str | None:
    """An f-string in which `{phase}` is written out; None where the name is used in another way."""
    if any(c in str(value) for c in "{}\\\"'"):
        return None
    try:
        new = re.sub(
            rf"(?<!{{)\{{{name}(?::([^{{}}]*))?\}}", lambda found: format(value, found.group(1) or ""), source
        )
    except ValueError:  # a format for something else
        return None
    return None if re.search(rf"\{{[^{{}}]*\b{name}\b[^{{}}]*\}}", new) else new


def renamed(block: str, names: dict[str, str]) -> str | None:
    """The block with other names; None where one of them stands where it can't be told from text."""
    text, edits = Text(block), []
    inside: set[int] = set()
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, Function | ast.Lambda | ast.ClassDef | ast.Global | ast.Nonlocal):
            return None
        if isinstance(node, ast.JoinedStr) and id(node) not in inside:
            inside |= {id(n) for n in ast.walk(node)}
            source = text.of(node)
            for name, new in names.items():
                source = _renamed_in_braces(source, name, new)
            edits.append(text.replace(node, source))
        elif isinstance(node, ast.Name) and id(node) not in inside and node.id in names:
            edits.append(text.replace(node, names[node.id]))
    return apply(block, range(1, len(text.lines) + 1), edits)[0]


def _renamed_in_braces(source: str, name: str, new: str) -> str:
    """An f-string with a name replaced where it is code."""
    code = re.compile(r"\{[^{}]*\}")
    return code.sub(lambda found: re.sub(rf"(?<!\.)\b{name}\b", new, found.group()), source)


def decides(body: list[ast.stmt], name: str, value: Constant) -> bool:
    """Whether a constant decides a branch, or a part of a test."""
    return any(
        (isinstance(n, ast.If | ast.IfExp) and truth(n.test, name, value) is not None)
        or (isinstance(n, ast.BoolOp) and _undecided(n, name, value) is not None)
        for statement in body
        for n in ast.walk(statement)
    )


__all__ = ["decides", "renamed", "specialised", "truth"]
