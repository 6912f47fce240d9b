"""What the optimizer holds: whether it is exactly the parameters of one model."""

from __future__ import annotations

import ast

from litify_converter.idioms.base import hook_items
from litify_converter.ir import Moved, Plan, Scope, Variable
from litify_converter.read import Script
from litify_converter.variables import Variables
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, bound, parameters, walk_scope


def holds_all(script: Script, plan: Plan, model: ast.expr, item: Moved) -> bool:
    """Whether the optimizer is always made as `Optimizer(model.parameters(), ...)` of this very model."""
    variables = Variables(script, [i for _, i in hook_items(plan)])
    own = {_outward(script, variables, v) for v in plan.optimizers}
    made = []
    for scope in _scopes(script, plan):
        others = set() if plan.owner is not None else _made_for_others(script, scope, variables, own)
        for node in walk_scope(scope.body):
            if not isinstance(node, ast.Call) or node in others:
                continue
            held = next(iter([*node.args, *(k.value for k in node.keywords if k.arg == "params")]), None)
            if held is not None and script.roles.of(node, scope) is Role.OPTIMIZER:
                made.append((scope, held))
    return bool(made) and all(
        isinstance(held, ast.Call)
        and isinstance(held.func, ast.Attribute)
        and held.func.attr == "parameters"
        and not held.args
        and not held.keywords
        and _same(script, variables, held.func.value, scope, model, item.scope)
        for scope, held in made
    )


def _scopes(script: Script, plan: Plan) -> list[Scope]:
    roles = script.roles
    return list(dict.fromkeys([script.tree, plan.nest.entry, *roles.functions.values(), *roles.owner]))


def _made_for_others(script: Script, scope: Scope, variables: Variables, own: set[Variable]) -> set[ast.AST]:
    """What is given to a name that is not among the plan's optimizers: that of another loop."""
    return {
        node.value
        for node in walk_scope(scope.body)
        if isinstance(node, ast.Assign)
        and all(
            isinstance(t, ast.Name)
            and (v := variables.of(t.id, scope)) is not None
            and _outward(script, variables, v) not in own
            for t in node.targets
        )
    }


def _same(
    script: Script, variables: Variables, left: ast.expr, scope: Scope, right: ast.expr, other: Scope
) -> bool:
    """Whether two expressions in two scopes name the same object."""
    if isinstance(left, ast.Name) and isinstance(right, ast.Name):
        one, two = variables.of(left.id, scope), variables.of(right.id, other)
        if one is None or two is None:
            return one is two and left.id == right.id
        return _outward(script, variables, one) == _outward(script, variables, two)
    return dotted(left) is not None and dotted(left) == dotted(right)


def _outward(script: Script, variables: Variables, variable: Variable) -> Variable:
    """A parameter of a function that is called in one place is what the caller names there."""
    seen: set[Variable] = set()
    while variable not in seen:
        seen.add(variable)
        function = variable.scope
        if not isinstance(function, Function) or variable.name not in parameters(function):
            return variable
        if variable.name in bound(function.body):
            return variable
        calls = [
            (scope, node)
            for scope in [script.tree, *script.roles.functions.values(), *script.roles.owner]
            for node in walk_scope(scope.body)
            if isinstance(node, ast.Call) and script.roles.callee(node, scope) is function
        ]
        if len(calls) != 1:
            return variable
        scope, call = calls[0]
        value = script.roles.arguments(call, function).get(variable.name)
        given = variables.of(value.id, scope) if isinstance(value, ast.Name) else None
        if given is None:
            return variable
        variable = given
    return variable
