"""`for epoch in range(done + 1, n)` with `done += 1` inside: the number of the first epoch is worked out once, and kept."""

from __future__ import annotations

import ast

from litify_converter.ir import Scope
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text
from litify_converter.read import Script
from litify_converter.ways import Search
from litify_linter.reading.imports import dotted
from litify_linter.reading.scopes import bound, walk_scope


class StartKept(Lowering):
    """`first_epoch = done + 1` before the loop, where something changes `done` while it runs."""

    name = "start-kept"
    words = ("range(",)

    def find(self, script: Script) -> Lowered | None:
        loops = {(turn.scope, turn.statement) for way in Search(script).ways() for turn in way}
        for scope, loop in loops:
            match loop:
                case ast.For(iter=ast.Call(func=ast.Name(id="range"), args=[first, _])) if _changes(
                    script, scope, loop, first
                ):
                    return self._kept(script, loop, first)
        return None

    def _kept(self, script: Script, loop: ast.For, first: ast.expr) -> Lowered:
        text = Text(script.text)
        taken = {n.id for n in ast.walk(script.tree) if isinstance(n, ast.Name)}
        name = next(n for n in ("first_epoch", "first_epoch_", "first_epoch__") if n not in taken)
        start = text.start(loop)
        line = f"{name} = {text.of(first)}\n{text.indent(loop)}"
        return Lowered([Edit(start, start, line), text.replace(first, name)])


def _changes(script: Script, scope: Scope, loop: ast.For, first: ast.expr) -> bool:
    """Whether the loop, or a function that shares the name, gives anything that `first` reads a new value."""
    names = {n.id for n in ast.walk(first) if isinstance(n, ast.Name)}
    if names & bound(loop.body):
        return True
    shared = {
        n for f in script.roles.functions.values() for g in walk_scope(f.body)
        if isinstance(g, ast.Global | ast.Nonlocal) for n in g.names
    }  # fmt: skip
    if names & shared:
        return True
    fields = {dotted(n) for n in ast.walk(first) if isinstance(n, ast.Attribute)} - {None}
    if not fields:
        return False
    places = [loop, *(f for f in script.roles.owner if f.name != "__init__" and f is not scope)]
    return any(
        isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and dotted(n) in fields
        for place in places
        for n in ast.walk(place)
    )
