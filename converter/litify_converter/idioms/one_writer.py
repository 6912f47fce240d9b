"""Files that a hook writes are written by one of the processes."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from litify_converter.blocks import inner_blocks
from litify_converter.idioms.base import Idiom, hook_items
from litify_converter.ir import Moved, Plan
from litify_converter.read import Script


class OneWriter(Idiom):
    """`torch.save(...)` in the loop stands under `if self.trainer.is_global_zero:`."""

    name = "one-writer"

    def apply(self, script: Script, plan: Plan) -> bool:
        plan.guarded |= {
            s
            for _, item in hook_items(plan)
            if isinstance(item, Moved)
            for s in _saves(item.statement, script)
        }
        return bool(plan.guarded)


def _saves(statement: ast.stmt, script: Script) -> Iterator[ast.stmt]:
    match statement:
        case ast.Expr(value=ast.Call(func=func)) if script.imports.resolve(func) == "torch.save":
            yield statement
        case ast.If(test=test) if any("rank" in n or n == "is_global_zero" for n in _names(test)):
            return
    for block in inner_blocks(statement):
        for inner in block:
            yield from _saves(inner, script)


def _names(test: ast.expr) -> Iterator[str]:
    for node in ast.walk(test):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
