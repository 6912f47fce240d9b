"""A progress print every k batches is self.log, and the Trainer's log_every_n_steps."""

from __future__ import annotations

import ast

from litify_converter.idioms.base import Idiom
from litify_converter.ir import Item, Moved, New, Note, Plan, Scope
from litify_converter.read import Script


class ProgressPrint(Idiom):
    """`if batch_idx % k == 0: print(... loss.item() ...)` at the end of a step."""

    name = "progress-print"

    def apply(self, script: Script, plan: Plan) -> bool:
        if not plan.automatic:
            return False
        items = plan.hooks["training_step"].items
        found = next(((i, every) for i in items if (every := _interval(i, plan)) is not None), None)
        if found is None:
            return False
        item, every = found
        assert isinstance(item, Moved)
        items.remove(item)
        plan.dropped[item.statement] = "self.log shows the loss"
        if isinstance(every, ast.Constant | ast.Attribute | ast.Name):
            plan.trainer["log_every_n_steps"] = (item.scope, every)
        plan.notes.append(
            Note("non-essential", item.statement.lineno, "the progress print is self.log in training_step")
        )
        return True


def _interval(item: Item, plan: Plan) -> ast.expr | None:
    """The k of `if <index> % k == 0:` (or `(<index> + 1) % k`) around nothing but prints."""
    match item:
        case Moved(
            scope,
            ast.If(
                test=ast.Compare(
                    left=ast.BinOp(left=counter, op=ast.Mod(), right=every),
                    ops=[ast.Eq()],
                    comparators=[ast.Constant()],
                ),
                orelse=[],
            ) as statement,
        ):
            if _is_index(counter, scope, plan) and all(_is_print(s, plan) for s in statement.body):
                return every
    return None


def _is_index(counter: ast.expr, scope: Scope, plan: Plan) -> bool:
    match counter:
        case ast.BinOp(left=ast.Name() as name, op=ast.Add(), right=ast.Constant()) | (ast.Name() as name):
            return name.id == plan.nest.batches.index and scope is plan.nest.batches.scope
    return False


def _is_print(statement: ast.stmt, plan: Plan) -> bool:
    if statement in plan.dropped:
        return True
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id="print"), keywords=keywords)):
            return not any(k.arg == "file" for k in keywords)
        case ast.If(orelse=[]):  # what is left of a break that became a Trainer argument
            return all(s in plan.dropped for s in statement.body)
    return False


class LogLoss(Idiom):
    """The loss that training_step returns is logged, so that it is seen and drawn."""

    name = "log-loss"

    def apply(self, script: Script, plan: Plan) -> bool:
        items = plan.hooks["training_step"].items
        if not plan.automatic:
            return False
        taken = any(isinstance(i, New) and 'SELF__.log("train_loss"' in i.text for i in items)
        last = items[-1]
        assert isinstance(last, New)
        loss = last.text.removeprefix("return ")
        name = "loss" if taken else "train_loss"
        items.insert(len(items) - 1, New(last.scope, f'SELF__.log("{name}", {loss}, prog_bar=True)'))
        return True
