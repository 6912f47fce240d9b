"""Optimizers inside objects of the script's own: `optimizer = Warmup(Adam(...))`, whose methods step."""

from __future__ import annotations

import ast

from litify_converter.ir import Hook, Nest, New, Plan, Variable
from litify_converter.read import Script
from litify_linter.reading.scopes import parameters, walk_scope


def wrapped_optimizers(script: Script, nest: Nest) -> list[tuple[Variable, str]]:
    """Variables of the set-up that hold such an object, each with the attribute that is the optimizer."""
    roles, entry = script.roles, nest.entry
    found: dict[Variable, str] = {}
    given = [] if isinstance(entry, ast.Module) else parameters(entry)
    for scope, names in (
        (entry, given),
        (entry, _assigned(entry.body)),
        (script.tree, _assigned(script.tree.body)),
    ):
        for name in names:
            attribute = roles.wrapped_optimizer(ast.Name(name, ast.Load()), scope)
            if attribute is not None and name in nest.mentioned:
                found.setdefault(Variable(scope, name), attribute)
        if found:
            break
    return list(found.items())


def _assigned(body: list[ast.stmt]) -> list[str]:
    return [
        t.id
        for n in walk_scope(body)
        if isinstance(n, ast.Assign)
        for t in n.targets
        if isinstance(t, ast.Name)
    ]


def configure_wrapped(plan: Plan, wrapped: list[tuple[Variable, str]]) -> None:
    """The Trainer has the optimizers inside, and counts their steps: the objects step what it gives them."""
    names = [f"{variable.name}.{attribute}" for variable, attribute in wrapped]
    scope = wrapped[0][0].scope
    text = f"return {names[0]}" if len(names) == 1 else f"return [{', '.join(names)}]"
    plan.hooks["on_train_start"] = Hook(
        "on_train_start", [New(scope, f"{', '.join(names)} = SELF__.optimizers()")]
    )
    plan.hooks = {"on_train_start": plan.hooks["on_train_start"], **plan.hooks}
    plan.hooks["configure_optimizers"] = Hook("configure_optimizers", [New(scope, text)])
