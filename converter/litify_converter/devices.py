"""How hooks speak of the device: `self.device`, or its name where the script treats it as text."""

from __future__ import annotations

import ast

from litify_converter.blocks import statements_of
from litify_converter.ir import Plan, Variable
from litify_converter.variables import Variables, item_statements
from litify_linter.reading.scopes import bound


def device_text(variable: Variable, plan: Plan, variables: Variables) -> str:
    """`self.device.type` for `device = "cuda" if ... else "cpu"` that is compared or given to autocast."""
    makers = [
        s
        for s in statements_of(variable.scope.body)
        if isinstance(s, ast.Assign) and variable.name in bound(s)
    ]
    if not makers or not all(_is_text(s.value) for s in makers):
        return "self.device"
    for hook in plan.hooks.values():
        for item in hook.items:
            for scope, statements in item_statements(item, variables, plan):
                names = {
                    id(n)
                    for s in statements
                    for n in ast.walk(s)
                    if isinstance(n, ast.Name) and variables.of(n.id, scope) == variable
                }
                if names - {i for s in statements for i in _places(s)}:
                    return "self.device.type"
    return "self.device"


def _is_text(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=str()):
            return True
        case ast.IfExp(body=body, orelse=orelse):
            return _is_text(body) and _is_text(orelse)
    return False


def _places(statement: ast.stmt) -> list[int]:
    """Names in `x.to(device)` and `device=device`, where a device does as well as its name."""
    found = []
    for node in ast.walk(statement):
        if isinstance(node, ast.Call):
            moves = isinstance(node.func, ast.Attribute) and node.func.attr == "to"
            found += [id(a) for a in node.args if moves]
            found += [id(k.value) for k in node.keywords if k.arg in ("device", "map_location")]
    return found
