"""What loops iterate over, with enumerate() and progress bars taken off."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.imports import Imports, dotted

# Wrappers around an iterable that only show progress.
PROGRESS = {
    "tqdm",
    "tqdm.tqdm",
    "tqdm.auto.tqdm",
    "tqdm.notebook.tqdm",
    "rich.progress.track",
    "tqdm.std.tqdm",
}
PROGRESS_RANGE = {"tqdm.trange", "tqdm.auto.trange", "tqdm.notebook.trange"}


def progress_bars(statements: Iterable[ast.stmt], imports: Imports) -> dict[str, ast.expr | None]:
    """`bar = tqdm(loader)` and `with tqdm(loader) as bar`: name of the bar -> what it goes over (None: counts by hand)."""
    bars: dict[str, ast.expr | None] = {}
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if _is_bar(call, imports):
                bars[name] = call.args[0] if call.args else None
            case ast.With(items=items):
                for item in items:
                    match item:
                        case ast.withitem(
                            context_expr=ast.Call() as call, optional_vars=ast.Name(id=name)
                        ) if _is_bar(call, imports):
                            bars[name] = call.args[0] if call.args else None
    return bars


def _is_bar(call: ast.Call, imports: Imports) -> bool:
    return (imports.resolve(call.func) or "") in PROGRESS


class Peel:
    """Takes enumerate() and progress bars off an iterable: (iterable, whether it was enumerated, first index)."""

    def __init__(self, imports: Imports, bars: dict[str, ast.expr | None] | None = None) -> None:
        self.imports = imports
        self.bars = bars or {}  # progress bars that have a name of their own

    def __call__(self, iterable: ast.expr) -> tuple[ast.expr, bool, ast.expr | None]:
        enumerated, start = False, None
        iterable = self._inside_bar(iterable)
        while isinstance(iterable, ast.Call) and iterable.args:
            name = self.imports.resolve(iterable.func) or dotted(iterable.func)
            if name == "enumerate" and not enumerated:
                enumerated = True
                start = iterable.args[1] if len(iterable.args) > 1 else None
                start = next((k.value for k in iterable.keywords if k.arg == "start"), start)
            elif name not in PROGRESS:
                break
            iterable = self._inside_bar(iterable.args[0])
        if isinstance(start, ast.Constant) and start.value == 0:
            start = None
        return iterable, enumerated, start

    def _inside_bar(self, iterable: ast.expr) -> ast.expr:
        inner = self.bars.get(iterable.id) if isinstance(iterable, ast.Name) else None
        return inner if inner is not None else iterable
