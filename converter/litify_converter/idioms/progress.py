"""A progress print every k batches is self.log, and the Trainer's log_every_n_steps."""

from __future__ import annotations

import ast

from litify_converter.blocks import after_loop
from litify_converter.effects import only_looks
from litify_converter.idioms.base import Idiom, Unproven, code_of, hook_items
from litify_converter.ir import Item, Moved, New, Note, Plan, Scope
from litify_converter.read import Script
from litify_linter.reading.imports import dotted
from litify_linter.reading.scopes import bound, exposed, read


class ProgressPrint(Idiom):
    """`if batch_idx % k == 0: print(... loss.item() ...)` at the end of a step."""

    name = "progress-print"

    def apply(self, script: Script, plan: Plan) -> bool:
        if not plan.automatic:
            return False
        items = plan.hooks["training_step"].items
        found = next(((i, every) for i in items if (every := interval(i, script, plan)) is not None), None)
        if found is None:
            return False
        item, every = found
        assert isinstance(item, Moved)
        if (lost := _shown_nowhere_else(item, script, plan)) is not None:
            raise Unproven(f"`{lost}` is shown by the print alone", item.statement)
        items.remove(item)
        plan.dropped[item.statement] = "self.log shows the loss"
        if isinstance(every, ast.Constant | ast.Attribute | ast.Name):
            plan.trainer["log_every_n_steps"] = (item.scope, every)
        plan.notes.append(
            Note("non-essential", item.statement.lineno, "the progress print is self.log in training_step")
        )
        return True


def _shown_nowhere_else(item: Moved, script: Script, plan: Plan) -> str | None:
    """A meter that the step keeps for the print alone: it would be lost with it, and its updates left over."""
    meters: set[str] = set()
    used: set[str] = set()
    for name, other in hook_items(plan):
        scope, statements = code_of(other, plan)
        for statement in statements if other is not item else []:
            match statement:
                case ast.Expr(
                    value=ast.Call(func=ast.Attribute(value=ast.Name(id=meter)), args=[_, *_] as args)
                ) if (name == "training_step" and scope is item.scope):
                    meters.add(meter)
                    used |= {n for a in args for n in read(a)}
                case _:
                    used |= read(statement)
    names = (meters & read(item.statement)) - used
    lost = sorted(n for n in names if script.roles.of(ast.Name(n, ast.Load()), item.scope) is None)
    return lost[0] if lost else None


def interval(item: Item, script: Script, plan: Plan) -> ast.expr | None:
    """The k of `if <index> % k == 0:` (or `(<index> + 1) % k`) around nothing but prints and what they print."""
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
            shown = all(_is_print(s, plan) or _only_for_print(s, item, script, plan) for s in statement.body)
            if _is_index(counter, scope, plan) and shown:
                return every
    return None


def _only_for_print(statement: ast.stmt, item: Moved, script: Script, plan: Plan) -> bool:
    """`loss, current = loss.item(), (batch + 1) * len(X)`: values that nothing but the print reads."""
    if not isinstance(statement, ast.Assign) or not only_looks(statement, script, item.scope):
        return False
    calls = [n for n in ast.walk(statement.value) if isinstance(n, ast.Call)]
    if not all(
        (isinstance(c.func, ast.Attribute) and c.func.attr == "item") or dotted(c.func) == "len"
        for c in calls
    ):
        return False
    names = bound(statement)
    steps = plan.hooks["training_step"].items
    whole = [s for i in steps for s in code_of(i, plan)[1]]
    if names & exposed(whole):
        return False  # kept from batch to batch
    behind = steps[steps.index(item) + 1 :]
    elsewhere = [i for name, i in hook_items(plan) if name != "training_step"]
    for other in [*behind, *elsewhere]:
        if names & read(code_of(other, plan)[1]) and not _returns(other):
            return False
    entry = plan.nest.entry
    return item.scope is not entry or not names & read(after_loop(entry.body, plan.nest.outer))


def _returns(item: Item) -> bool:
    """The `return loss` that automatic optimization ends the step with."""
    return isinstance(item, New) and item.text.startswith("return ")


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
