"""How the set-up of a script brings its model to a GPU."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Literal

from litify_converter.blocks import statements_of
from litify_converter.ir import Plan, Scope
from litify_converter.read import Script
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import bound, read, walk_scope

HAS_GPU = ast.parse("torch.cuda.is_available()", mode="eval").body


def moved_by_hand(script: Script, plan: Plan) -> ast.expr | Literal[True] | None:
    """On which condition the set-up calls `model.cuda()`: True where on none, None where it does not.

    A condition whose name is gone from the result (`use_cuda`) is what it stood for.
    """
    entry = plan.nest.entry
    for statement in (s for s in entry.body if s.lineno < plan.nest.outer.lineno):
        if isinstance(statement, ast.If) and any(
            _is_move(n, script, entry) for s in statement.body for n in ast.walk(s)
        ):
            return _still_there(statement.test, script, plan)
        if isinstance(statement, ast.If | ast.FunctionDef | ast.ClassDef):
            continue
        if any(_is_move(n, script, entry) for n in walk_scope(statement)):
            return True
    return None


def _is_move(node: ast.AST, script: Script, scope: Scope) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=owner, attr="cuda")):
            return script.roles.of(owner, scope) is Role.MODEL
    return False


def _still_there(test: ast.expr, script: Script, plan: Plan) -> ast.expr:
    entry = plan.nest.entry
    kept = [s for s in statements_of(entry.body) if s not in plan.moved_setup | set(plan.dropped)]
    if script.roles.of(test, entry) is Role.HAS_GPU and not read(test) <= bound(kept) | set(
        script.imports.names
    ):
        return HAS_GPU
    return test


def run_by(code: Iterable[ast.stmt], models: set[str]) -> set[str]:
    """The models that code calls, or gives to a function."""
    found: set[str] = set()
    for node in walk_scope(code):
        match node:
            case ast.Call(func=ast.Name(id=name), args=arguments):
                found |= {name} | {a.id for a in arguments if isinstance(a, ast.Name)}
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="forward" | "generate" | "sample")
            ):
                found.add(name)
    return found & models
