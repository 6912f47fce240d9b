"""`total, bar = 0, tqdm(loader)`: a progress bar among the values of one assignment gets a statement of its own."""

from __future__ import annotations

import ast

from litify_converter.iterables import PROGRESS, PROGRESS_RANGE
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text
from litify_converter.read import Script
from litify_linter.reading.scopes import read, walk_scope


class ParallelBars(Lowering):
    """The bar is taken out of the assignment, so that it can go where the Trainer has one of its own."""

    name = "parallel-bars"
    words = ("tqdm(", "track(", "trange(")

    def find(self, script: Script) -> Lowered | None:
        for scope in [script.tree, *script.roles.functions.values(), *script.roles.owner]:
            for node in walk_scope(scope.body):
                if isinstance(node, ast.Assign) and (edit := _split(script, node)) is not None:
                    return Lowered([edit])
        return None


def _split(script: Script, statement: ast.Assign) -> Edit | None:
    match statement:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if len(
            targets
        ) == len(values) and all(isinstance(t, ast.Name) for t in targets):
            pass
        case _:
            return None
    bars = [i for i, v in enumerate(values) if _is_bar(script, v)]
    names = {t.id for t in targets if isinstance(t, ast.Name)}
    if not bars or len(bars) == len(values) or read(values) & names or len(names) != len(targets):
        return None
    others = [i for i in range(len(values)) if i not in bars]
    if bars[0] < others[-1] and any(isinstance(n, ast.Call) for i in others for n in ast.walk(values[i])):
        return None  # the other values are computed behind the bar, which may have taken its first look at the loader
    text = Text(script.text)
    if text.lines[statement.lineno - 1][: statement.col_offset].strip():
        return None  # behind a colon or a semicolon
    left = ", ".join(text.of(targets[i]) for i in others)
    right = ", ".join(text.of(values[i]) for i in others)
    rest = [f"{text.of(targets[i])} = {text.of(values[i])}" for i in bars]
    return text.replace(statement, f"\n{text.indent(statement)}".join([f"{left} = {right}", *rest]))


def _is_bar(script: Script, value: ast.expr) -> bool:
    return (
        isinstance(value, ast.Call)
        and (script.imports.resolve(value.func) or "") in PROGRESS | PROGRESS_RANGE
    )
