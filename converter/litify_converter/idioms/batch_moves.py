"""The Trainer moves the batch: statements that only do that go, with the `if use_cuda:` around them."""

from __future__ import annotations

import ast

from litify_converter.batch_argument import parts_of_batch
from litify_converter.idioms.base import Idiom, hook_items
from litify_converter.ir import Moved, Note, Plan, Scope
from litify_converter.read import Script
from litify_converter.rewrite import VARIABLE, is_device_move, root_name
from litify_linter.reading.roles import Role

STEPS = ("training_step", "validation_step")  # elsewhere a batch is one that the Trainer did not move


class BatchMoves(Idiom):
    """`data, target = data.to(device), target.to(device)` and `x = Variable(x)`."""

    name = "batch-moves"

    def apply(self, script: Script, plan: Plan) -> bool:
        names = parts_of_batch(plan)
        found = [
            s
            for _, item in hook_items(plan, *STEPS)
            if isinstance(item, Moved)
            for s in moves(item.statement, item.scope, script, names)
        ]
        for statement in found:
            plan.dropped[statement] = "the Trainer moves the batch"
            plan.notes.append(
                Note("engineering", statement.lineno, "the Trainer moves the batch to its device")
            )
        return bool(found)


def moves(statement: ast.stmt, scope: Scope, script: Script, names: set[str]) -> list[ast.stmt]:
    """The statements at or below this one that do nothing but move parts of the batch."""
    match statement:
        case ast.Assign(targets=[target], value=value):
            plain = ast.unparse(_unmoved(value, scope, script, names)).strip("()")
            return [statement] if plain == ast.unparse(target).strip("()") else []
        case ast.If():
            block = [*statement.body, *statement.orelse]
            inner = [s for one in block for s in moves(one, scope, script, names)]
            asks = script.roles.of(statement.test, scope) is Role.HAS_GPU or isinstance(
                statement.test, ast.Name | ast.Attribute
            )
            return [statement] if asks and len(inner) == len(block) else inner
        case ast.With() | ast.For() | ast.While() | ast.Try():
            return [s for one in statement.body for s in moves(one, scope, script, names)]
    return []


def _unmoved(value: ast.expr, scope: Scope, script: Script, names: set[str]) -> ast.expr:
    """A value without moves of the batch to a device."""
    match value:
        case ast.Tuple(elts=elements):
            return ast.Tuple([_unmoved(e, scope, script, names) for e in elements], ast.Load())
        case ast.Call(func=ast.Attribute(value=inner)) if (
            is_device_move(value, script.roles, scope) and root_name(inner) in names
        ):
            return _unmoved(inner, scope, script, names)
        case ast.Call(func=func, args=[inner], keywords=[]) if script.imports.resolve(func) in VARIABLE:
            return _unmoved(inner, scope, script, names)
    return value
