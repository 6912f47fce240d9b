"""`if args.adam: optimizer = Adam(...)`: a name that only some runs bind gets a value in all of them.

The LightningModule takes such a name as an argument, or returns it from configure_optimizers, also in runs where the script
would never have read it. It is None there: the script's own conditions keep it from being used.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from litify_converter.ir import Scope
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text
from litify_converter.read import Script
from litify_linter.reading.scopes import (
    Function,
    bound,
    declared_global,
    exposed,
    free,
    parameters,
    read,
    surely_bound,
    walk_scope,
)


class MaybeUnbound(Lowering):
    """`name = None` before the `if` that may bind it, where a loop behind it or a function reads the name."""

    name = "maybe-unbound"
    words = ("if ",)

    def find(self, script: Script) -> Lowered | None:
        text = Text(script.text)
        for scope in [script.tree, *script.roles.functions.values()]:
            earlier = _given(scope)
            elsewhere = set() if isinstance(scope, Function) else _read_by_functions(script)
            for statement, behind in _set_up(scope.body):
                if isinstance(statement, ast.If):
                    maybe = _assigned(statement) - surely_bound([statement]) - earlier
                    names = sorted(maybe & (elsewhere | _looped(behind)))
                    if names:
                        start = text.start(statement)
                        line = "".join(f"{name} = None\n{' ' * start[1]}" for name in names)
                        return Lowered([Edit(start, start, line)])
                earlier |= bound(statement)
        return None


def _given(scope: Scope) -> set[str]:
    """Names that are bound, or another scope's, before the first statement."""
    if isinstance(scope, Function):
        return {*parameters(scope), *declared_global(scope)}
    return set()


def _set_up(body: Sequence[ast.stmt]) -> Iterator[tuple[ast.stmt, Sequence[ast.stmt]]]:
    """The statements of a scope in their order, with those behind them; `if __name__ == "__main__"` is opened."""
    for index, statement in enumerate(body):
        match statement:
            case ast.If(test=ast.Compare(left=ast.Name("__name__"))):
                yield from _set_up(statement.body)
            case _:
                yield statement, body[index + 1 :]


def _assigned(statement: ast.If) -> set[str]:
    """Names that plain assignments and imports inside it bind."""
    nodes = list(walk_scope(statement))
    targets = [target for node in nodes if isinstance(node, ast.Assign) for target in node.targets]
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    return names | bound(n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom))


def _read_by_functions(script: Script) -> set[str]:
    return {name for function in script.roles.functions.values() for name in free(function)}


def _looped(statements: Sequence[ast.stmt]) -> set[str]:
    """Names that loops among the statements read, and do not bind or read before they do."""
    loops = [node for node in walk_scope(statements) if isinstance(node, ast.For | ast.While)]
    return {name for loop in loops for name in (read(loop) - bound(loop)) | exposed(loop.body)}
