"""Files that a hook writes are written by one of the processes."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from litify_converter.blocks import inner_blocks
from litify_converter.idioms.base import Idiom, hook_items
from litify_converter.ir import Moved, Plan, Scope
from litify_converter.read import Script
from litify_linter.reading.scopes import walk_scope


class OneWriter(Idiom):
    """`torch.save(...)` in the loop stands under `if self.trainer.is_global_zero:`."""

    name = "one-writer"

    def apply(self, script: Script, plan: Plan) -> bool:
        plan.guarded |= {
            s
            for _, item in hook_items(plan)
            if isinstance(item, Moved)
            for s in _saves(item.statement, script, item.scope)
        }
        return bool(plan.guarded)


def _saves(statement: ast.stmt, script: Script, scope: Scope) -> Iterator[ast.stmt]:
    match statement:
        case ast.Expr(value=ast.Call() as call) if _is_save(call, script, scope):
            yield statement
        case ast.If(test=test) if any("rank" in n or n == "is_global_zero" for n in _names(test)):
            return
    for block in inner_blocks(statement):
        for inner in block:
            yield from _saves(inner, script, scope)


def _is_save(call: ast.Call, script: Script, scope: Scope) -> bool:
    """`torch.save(...)`, or `save_checkpoint(...)` of the script, which calls it."""
    if script.imports.resolve(call.func) == "torch.save":
        return True
    function = script.roles.callee(call, scope)
    if function is None or "save" not in function.name:
        return False
    inner = [n for n in walk_scope(function.body) if isinstance(n, ast.Call)]
    return any(script.imports.resolve(n.func) == "torch.save" for n in inner)


def _names(test: ast.expr) -> Iterator[str]:
    for node in ast.walk(test):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
