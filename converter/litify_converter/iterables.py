"""What loops iterate over, with enumerate() and progress bars taken off."""

from __future__ import annotations

import ast

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


class Peel:
    """Takes enumerate() and progress bars off an iterable: (iterable, whether it was enumerated, first index)."""

    def __init__(self, imports: Imports) -> None:
        self.imports = imports

    def __call__(self, iterable: ast.expr) -> tuple[ast.expr, bool, ast.expr | None]:
        enumerated, start = False, None
        while isinstance(iterable, ast.Call) and iterable.args:
            name = self.imports.resolve(iterable.func) or dotted(iterable.func)
            if name == "enumerate" and not enumerated:
                enumerated = True
                start = iterable.args[1] if len(iterable.args) > 1 else None
                start = next((k.value for k in iterable.keywords if k.arg == "start"), start)
            elif name not in PROGRESS:
                break
            iterable = iterable.args[0]
        if isinstance(start, ast.Constant) and start.value == 0:
            start = None
        return iterable, enumerated, start
