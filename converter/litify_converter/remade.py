"""Optimizers that the script makes anew while it trains: the Trainer would go on stepping the first ones."""

from __future__ import annotations

import ast

from litify_converter.ir import BatchLoop, Item, Moved, Nest, Owner, Plan, Scope
from litify_converter.read import Script
from litify_converter.refusals import SharedName
from litify_converter.variables import Variables
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, walk_scope

# What a LightningModule holds: a global that a function gives another value would be another object.
HELD = {
    Role.OPTIMIZER: "optimizer",
    Role.SCHEDULER: "scheduler",
    Role.MODEL: "model",
    Role.CRITERION: "criterion",
}


def refuse_remade(script: Script, plan: Plan) -> None:
    """Raises SharedName where the loop, or a function that it runs, gives what the result holds another value.

    Names of the loop's own scope are looked at when homes are found; here, attributes of the object that trains and globals.
    """
    variables = Variables(script, ())
    shared = {v.name for v in plan.optimizers if v.scope is script.tree}
    written_out = {plan.nest.entry, *(c.function for c in plan.nest.calls)}
    for scope, nodes in _run_in_loop(script, plan.nest):
        declared = {n for g in nodes if isinstance(g, ast.Global) for n in g.names}
        elsewhere = {n for n in declared if _role(script, n) in HELD} if scope not in written_out else set()
        declared = (declared & shared) | elsewhere
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in declared:
                raise _refusal(node.id, node, _role(script, node.id) or Role.OPTIMIZER)
            if plan.owner is not None and _is_own(script, variables, plan.owner, scope, node):
                raise _refusal(dotted(node) or "", node, Role.OPTIMIZER)


def _role(script: Script, name: str) -> Role | None:
    return script.roles.of(ast.Name(name, ast.Load()), script.tree)


def _refusal(name: str, node: ast.AST, role: Role) -> SharedName:
    refusal = SharedName(f"the {HELD[role]} `{name}` is made anew in the loop", node)
    if role is Role.OPTIMIZER:
        refusal.advice = (
            "keep the optimizer, and change `lr` in its param_groups; `state.clear()` forgets its state"
        )
    return refusal


def remakes_source(
    script: Script, nest: Nest, item: Item | None = None, batches: BatchLoop | None = None
) -> bool:
    """Whether the loop, or one item of it, changes a global or an attribute that batches come from.

    What is bound to a name of the loop's own scope is looked at by `check_source`.
    """
    batches, variables = batches or nest.batches, Variables(script, ())
    source = batches.source
    if source is None or batches.in_epoch:
        return False
    names = {n.id for n in ast.walk(source) if isinstance(n, ast.Name)}
    names = {n for n in names if (v := variables.of(n, batches.scope)) and v.scope is script.tree}
    fields = {n.attr for n in ast.walk(source) if isinstance(n, ast.Attribute)}
    if item is None:
        places = _run_in_loop(script, nest)
    elif isinstance(item, Moved):
        places = _reached(script, [(item.scope, list(walk_scope([item.statement])))])
    else:
        return False
    for _, nodes in places:
        shared = {n for g in nodes if isinstance(g, ast.Global) for n in g.names} & names
        for node in nodes:
            match node:
                case ast.Name(id=name, ctx=ast.Store()) if name in shared:
                    return True
                case ast.Attribute(attr=attribute, ctx=ast.Store()) if attribute in fields:
                    return True
    return False


def _is_own(script: Script, variables: Variables, owner: Owner, scope: Scope, node: ast.AST) -> bool:
    """Whether a node binds an optimizer of the object: `self.optimizer = ...`."""
    match node:
        case ast.Attribute(value=ast.Name(id=name), attr=attribute, ctx=ast.Store()):
            if attribute not in owner.optimizers:
                return False
            is_self = isinstance(scope, Function) and script.roles.owner.get(scope) is owner.node
            return (is_self and name == "self") or variables.of(name, scope) == owner.self_name
    return False


def _run_in_loop(script: Script, nest: Nest) -> list[tuple[Scope, list[ast.AST]]]:
    """The code of the loop, and of every function of the script that it reaches, each with its scope."""
    written_out = [(c.function, list(walk_scope(c.function.body))) for c in nest.calls]
    return _reached(script, [(nest.entry, list(walk_scope([nest.outer]))), *written_out])


def _reached(script: Script, code: list[tuple[Scope, list[ast.AST]]]) -> list[tuple[Scope, list[ast.AST]]]:
    """Code, and that of the functions of the script that it calls, and those that they call."""
    found: list[tuple[Scope, list[ast.AST]]] = []
    waiting, seen = list(code), {scope for scope, _ in code}
    while waiting:
        scope, nodes = waiting.pop()
        found.append((scope, nodes))
        for node in nodes:
            callee = script.roles.callee(node, scope) if isinstance(node, ast.Call) else None
            if callee is not None and callee not in seen:
                seen.add(callee)
                waiting.append((callee, list(walk_scope(callee.body))))
    return found
