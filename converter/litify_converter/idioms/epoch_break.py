"""A `break` at the first batch, under a condition that holds for the whole run, is a limit of the Trainer."""

from __future__ import annotations

import ast

from litify_converter.idioms.base import Idiom, Unproven
from litify_converter.ir import Item, Moved, Plan, Scope, Variable
from litify_converter.read import Script
from litify_converter.variables import Variables
from litify_linter.reading.scopes import read


class EpochBreak(Idiom):
    """`if batch_idx % k == 0: ...; if args.dry_run: break` leaves after the first batch whenever it leaves at all."""

    name = "epoch-break"

    def apply(self, script: Script, plan: Plan) -> bool:
        hook = plan.hooks["training_step"]
        batches = plan.nest.batches
        index = batches.index if batches.index_start is None else None
        found = first_batch_break(script, hook.items, batches.scope, index)
        if found is None:
            return False
        jump, conditions, scope = found
        plan.dropped[jump] = "the Trainer limits the batches"
        plan.trainer["limit_train_batches"] = (scope, limit(conditions))
        return True


def limit(conditions: list[ast.expr]) -> ast.expr:
    """`1 if <conditions> else 1.0`: one batch, or all of them."""
    if not conditions:
        return ast.Constant(1)
    test = conditions[0] if len(conditions) == 1 else ast.BoolOp(ast.And(), conditions)
    return ast.IfExp(test, ast.Constant(1), ast.Constant(1.0))


def first_batch_break(
    script: Script, items: list[Item], scope: Scope, index: str | None
) -> tuple[ast.Break, list[ast.expr], Scope] | None:
    """The one `break` of a batch's items, with the conditions under which it happens at the first batch.

    Raises:
        Unproven: there is a break, and it may happen later than at the first batch.
    """
    breaks = [
        (i, jump, tests) for i in items if isinstance(i, Moved) for jump, tests in _breaks(i.statement, [])
    ]
    if not breaks:
        return None
    item, jump, tests = breaks[0]
    if len(breaks) > 1 or item is not items[-1] or item.scope is not scope:
        raise Unproven("a break that is not at the end of the loop's body", jump)
    variables = Variables(script, items)
    made: set[Variable] = {v for i in items for v in variables.bound(i)}
    conditions = []
    for test in tests:
        if _is_first_of_every_k(test, index):
            continue
        changing = any(variables.of(n, scope) in made for n in read(test))
        if changing or any(isinstance(n, ast.Call) for n in ast.walk(test)):
            raise Unproven("a break under a condition that changes from batch to batch", jump)
        conditions.append(test)
    return jump, conditions, scope


def _is_first_of_every_k(test: ast.expr, index: str | None) -> bool:
    """`index % k == 0`, which holds for the first batch."""
    match test:
        case ast.Compare(
            left=ast.BinOp(left=ast.Name(id=name), op=ast.Mod()),
            ops=[ast.Eq()],
            comparators=[ast.Constant(value=0)],
        ):
            return name == index
    return False


def _breaks(statement: ast.stmt, tests: list[ast.expr]) -> list[tuple[ast.Break, list[ast.expr]]]:
    """Breaks inside ifs, each with the tests on the way to it; it must be the last statement of its block."""
    if isinstance(statement, ast.Break):
        return [(statement, tests)]
    if not isinstance(statement, ast.If):
        return []
    found = []
    for block, test in (
        (statement.body, statement.test),
        (statement.orelse, ast.UnaryOp(ast.Not(), statement.test)),
    ):
        for at, inner in enumerate(block):
            for jump, way in _breaks(inner, [*tests, test]):
                if at != len(block) - 1:
                    raise Unproven("a break with statements after it", jump)
                found.append((jump, way))
    return found
