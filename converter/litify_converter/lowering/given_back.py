"""`optimizer = set_rate(optimizer, epoch)`: what a function hands back as it was given keeps its name without that."""

from __future__ import annotations

import ast

from litify_converter.blocks import statements_of
from litify_converter.ir import Scope
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text
from litify_converter.read import Script
from litify_converter.ways import Search
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, bound, walk_scope

KINDS = (Role.OPTIMIZER, Role.SCHEDULER, Role.MODEL)


class GivenBack(Lowering):
    """`set_rate(optimizer, epoch)` in a loop, where the function returns the very optimizer that it got."""

    name = "given-back"
    words = ("return ",)

    def find(self, script: Script) -> Lowered | None:
        search, text = Search(script), Text(script.text)
        edits: list[Edit] = []
        for scope in [script.tree, *script.roles.functions.values(), *script.roles.owner]:
            loops = [n for n in walk_scope(scope.body) if isinstance(n, ast.For | ast.While)]
            for statement in dict.fromkeys(s for loop in loops for s in statements_of(loop.body)):
                match statement:
                    case ast.Assign(targets=[ast.Name(id=name) as target], value=ast.Call() as call) if (
                        script.roles.of(target, scope) in KINDS
                    ):
                        function = _callee(script, search, call, scope)
                        if function is not None and _returned(function, call) == name:
                            edits.append(Edit(text.start(statement), text.start(call), ""))
        return Lowered(edits) if edits else None


def _callee(script: Script, search: Search, call: ast.Call, scope: Scope) -> Function | None:
    function = script.roles.callee(call, scope)
    if function is None or function in script.roles.owner or not isinstance(function, ast.FunctionDef):
        return None
    return None if function.decorator_list or search.steps_below(function) else function


def _returned(function: Function, call: ast.Call) -> str | None:
    """The name in the call of the argument that the function returns in every case, never rebound."""
    nodes = list(walk_scope(function.body))
    returns = [n for n in nodes if isinstance(n, ast.Return)]
    values = {n.value.id if isinstance(n.value, ast.Name) else None for n in returns}
    if len(values) != 1 or not isinstance(function.body[-1], ast.Return):
        return None
    (name,) = values
    names = [a.arg for a in [*function.args.posonlyargs, *function.args.args]]
    yields = any(isinstance(n, ast.Yield | ast.YieldFrom | ast.Global | ast.Nonlocal) for n in nodes)
    if name not in names or name in bound(function.body) or yields:
        return None
    at = names.index(name)
    if any(isinstance(a, ast.Starred) for a in call.args[: at + 1]):
        return None
    value = next((k.value for k in call.keywords if k.arg == name), None)
    value = call.args[at] if at < len(call.args) else value
    return value.id if isinstance(value, ast.Name) else None
