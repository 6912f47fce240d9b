"""What the script does after an optimizer step, with the new weights, is done in on_train_batch_end."""

from __future__ import annotations

import ast

from litify_converter.blocks import statements_of
from litify_converter.effects import is_call_of, only_looks
from litify_converter.idioms.automatic import AutomaticOptimization
from litify_converter.idioms.base import Idiom, Unproven, code_of
from litify_converter.idioms.batch_moves import moves
from litify_converter.ir import Bind, Hook, Item, Moved, New, Plan
from litify_converter.plan import jumps, receive
from litify_converter.read import Script
from litify_converter.variables import Variables
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import read

EPOCH_END, BATCH_END = "on_train_epoch_end", "on_train_batch_end"


class AfterStep(Idiom):
    """`optimizer.step()`, then `if step % 50 == 0: accuracy = evaluate(net)`: automatic, with a hook for the rest."""

    name = "after-step"

    def apply(self, script: Script, plan: Plan) -> bool:
        if plan.automatic or BATCH_END in plan.hooks:
            return False
        items = plan.hooks["training_step"].items
        first = _first_after(script, plan, items)
        if first is None:
            return False
        rest = items[first:]
        if any(isinstance(i, Moved) and jumps(i.statement) for i in rest):
            return False
        rest = _without_deletions(plan, rest)
        plan.hooks["training_step"].items = items[:first]
        one_step = plan.nest.batches.source is None and "validation_step" not in plan.hooks
        name = EPOCH_END if one_step else BATCH_END
        hook = plan.hooks.get(name) or Hook(name, [], () if one_step else ("outputs", "batch", "batch_idx"))
        received = _received(script, plan, items[:first], rest)
        hook.items = [*received, *rest, *hook.items]
        if rest:
            _put(plan, hook)
        _drop_index(script, plan, received)
        try:
            AutomaticOptimization().apply(script, plan)
        except Unproven:
            return False
        plan.notes = [
            n for n in plan.notes if not n.text.startswith(f"{AutomaticOptimization.name} left out")
        ]
        return True


def _without_deletions(plan: Plan, items: list[Item]) -> list[Item]:
    """`del loss` goes: names of a step end with it."""
    kept: list[Item] = []
    for item in items:
        match item:
            case Moved(statement=ast.Delete(targets=targets) as statement) if all(
                isinstance(t, ast.Name) for t in targets
            ):
                plan.dropped[statement] = "the names of a step end with it"
            case _:
                kept.append(item)
    return kept


def _first_after(script: Script, plan: Plan, items: list[Item]) -> int | None:
    """Where the first item stands, behind the only step, that sees what the step changed."""
    steps = [i for i, item in enumerate(items) if _steps(script, item, Role.OPTIMIZER)]
    if len(steps) != 1:
        return None
    for at in range(steps[0] + 1, len(items)):
        if isinstance(items[at], Bind) or _steps(script, items[at], Role.SCHEDULER):
            continue
        scope, statements = code_of(items[at], plan)
        zeroes = all(is_call_of(s, "zero_grad") is not None for s in statements)
        if not zeroes and not all(only_looks(s, script, scope) for s in statements):
            return at
    return None


def _steps(script: Script, item: Item, role: Role) -> bool:
    if not isinstance(item, Moved):
        return False
    calls = [is_call_of(s, "step") for s in statements_of([item.statement])]
    return any(
        call is not None
        and isinstance(call.func, ast.Attribute)
        and script.roles.of(call.func.value, item.scope) is role
        for call in calls
    )


def _received(script: Script, plan: Plan, before: list[Item], rest: list[Item]) -> list[Item]:
    """The batch and its index under the script's names, where the hook reads them as the step got them."""
    batches = plan.nest.batches
    if batches.source is None:
        return []
    variables = Variables(script, [*before, *rest])
    wanted = {
        v
        for item in rest
        for scope, code in [code_of(item, plan)]
        for name in read(code)
        if (v := variables.of(name, scope)) is not None
    }
    names = {n.id for n in ast.walk(batches.target) if isinstance(n, ast.Name)} if batches.target else set()
    texts = {i.text for i in receive(batches) if isinstance(i, New)}
    changed = {
        v
        for item in before
        if not (isinstance(item, New) and item.text in texts)
        and not (isinstance(item, Moved) and moves(item.statement, item.scope, script, names))
        for v in variables.bound(item)
    }
    return [
        item
        for item in receive(batches)
        if (bound := variables.bound(item)) & wanted and not bound & wanted & changed
    ]


def _drop_index(script: Script, plan: Plan, received: list[Item]) -> None:
    """The index goes from the step where only the hook reads it."""
    step, index = plan.hooks["training_step"], plan.nest.batches.index
    if index is None or not any(isinstance(i, New) and i.text.startswith(f"{index} = ") for i in received):
        return
    variables = Variables(script, [*step.items, *received])
    variable = variables.of(index, plan.nest.batches.scope)
    codes = [code_of(item, plan) for item in step.items]
    if not any(variables.of(n, scope) == variable for scope, code in codes for n in read(code)):
        step.items = [
            i for i in step.items if not (isinstance(i, New) and i.text.startswith(f"{index} = BATCH_IDX__"))
        ]


def _put(plan: Plan, hook: Hook) -> None:
    if hook.name in plan.hooks:
        return
    hooks = list(plan.hooks.items())
    at = [n for n, _ in hooks].index("training_step") + 1
    plan.hooks = dict([*hooks[:at], (hook.name, hook), *hooks[at:]])
