"""Epochs counted in another way than `for epoch in range(...)`: by a list, or with a second counter."""

from __future__ import annotations

import ast

from litify_converter.blocks import statements_of
from litify_converter.ir import Note, Scope
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text, header_end
from litify_converter.plan import difference
from litify_converter.read import Script
from litify_converter.ways import Search, first_loop, from_loop
from litify_linter.reading.scopes import bound


class EpochCounter(Lowering):
    """`for i, epoch in enumerate(range(1, n + 1))` and `for epoch in [1, 5, 7]`: counted by range, the epoch computed."""

    name = "epoch-counter"
    words = ("enumerate(", "in [", "in (", "epochs:", "range(")

    def find(self, script: Script) -> Lowered | None:
        loops = [
            (scope, s)
            for scope in [script.tree, *script.roles.functions.values(), *script.roles.owner]
            for s in statements_of(scope.body)
            if isinstance(s, ast.For) and not s.orelse and _counted(s) is not None
        ]
        if not loops:
            return None
        ways = [way for way in Search(script).ways() if first_loop(way) is not None]
        cut, _ = from_loop(ways, script)
        outermost = {id(way[0].statement) for way in cut if len(way) > 1}
        for scope, loop in loops:
            if id(loop) in outermost:
                return self._rewritten(script, scope, loop)
        return None

    def _rewritten(self, script: Script, scope: Scope, loop: ast.For) -> Lowered | None:
        counted = _counted(loop)
        text = Text(script.text)
        if counted is None or loop.body[0].lineno == loop.lineno:
            return None
        name, count, epoch = counted
        if not name:
            taken = bound(scope.body) | {n.id for n in ast.walk(script.tree) if isinstance(n, ast.Name)}
            name = next(n for n in ("epoch_index", "epoch_number", "epoch_index_") if n not in taken)
        target = loop.target.elts[1] if isinstance(loop.target, ast.Tuple) else loop.target
        header = header_end(text, loop.body, loop.iter.end_lineno or loop.lineno)
        first = f"{text.indent(loop.body[0])}{text.of(target)} = {epoch.format(name)}\n"
        edits = [
            Edit(text.start(loop.target), text.end(loop.iter), f"{name} in range({count})"),
            Edit((header + 1, 0), (header + 1, 0), first),
        ]
        line = script.original_line(loop.lineno) or 1
        return Lowered(edits, [Note("engineering", line, "the Trainer counts the epochs from 0")])


def _counted(loop: ast.For) -> tuple[str, str, str] | None:
    """The counter's name ("": it has none), the number of rounds, and the epoch by the counter, `{}`."""
    match loop:
        case ast.For(
            target=ast.Tuple(elts=[ast.Name(id=name), ast.Name()]),
            iter=ast.Call(func=ast.Name(id="enumerate"), args=[inner], keywords=[]),
        ):
            found = _values(inner)
            return (name, *found) if found is not None else None
        case ast.For(target=ast.Name(id=name), iter=ast.List() | ast.Tuple() as inner):
            found = _values(inner)
            return ("", *found) if found is not None else None
        case ast.For(
            target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range"), args=[_, _, _]) as inner
        ):
            return (
                ("", f"len({ast.unparse(inner)})", f"{ast.unparse(inner)}[{{}}]") if "epoch" in name else None
            )
    return None


def _values(iterable: ast.expr) -> tuple[str, str] | None:
    match iterable:
        case ast.Call(func=ast.Name(id="range"), args=[end], keywords=[]):
            return ast.unparse(end), "{}"
        case ast.Call(func=ast.Name(id="range"), args=[first, end], keywords=[]):
            return ast.unparse(difference(end, first)), f"{{}} + {ast.unparse(first)}"
        case ast.List(elts=elements) | ast.Tuple(elts=elements) if elements and all(
            isinstance(e, ast.Constant) and isinstance(e.value, int) for e in elements
        ):
            return str(len(elements)), f"{ast.unparse(iterable)}[{{}}]"
    return None
