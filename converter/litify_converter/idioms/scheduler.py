"""A schedule stepped once per epoch is returned from configure_optimizers: the Trainer steps it."""

from __future__ import annotations

import ast

from litify_converter.effects import is_call_of
from litify_converter.idioms.base import Idiom, Unproven, code_of, hook_items
from litify_converter.ir import Moved, Note, Plan
from litify_converter.plan import configure_optimizers
from litify_converter.read import Script
from litify_converter.variables import Variables
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import walk_scope


class ReturnedScheduler(Idiom):
    """`scheduler.step()` after each epoch, with nothing in between that reads the learning rate."""

    name = "returned-scheduler"

    def apply(self, script: Script, plan: Plan) -> bool:
        if not plan.automatic or len(plan.schedulers) != 1 or plan.returned_schedulers:
            return False
        variables = Variables(script, [i for _, i in hook_items(plan)])
        steps = [
            (name, item)
            for name, item in hook_items(plan)
            if isinstance(item, Moved)
            and (call := is_call_of(item.statement, "step")) is not None
            and isinstance(call.func, ast.Attribute)
            and script.roles.of(call.func.value, item.scope) is Role.SCHEDULER
        ]
        if len(steps) != 1:
            raise Unproven("the schedule is not stepped by one plain statement", plan.nest.outer)
        name, item = steps[0]
        assert isinstance(item, Moved)
        call = is_call_of(item.statement, "step")
        assert (
            call is not None
            and isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
        )
        if variables.of(call.func.value.id, item.scope) != plan.schedulers[0]:
            raise Unproven("the schedule is another one than the set-up makes", item.statement)
        if call.args or call.keywords:
            raise Unproven("the schedule is stepped with a metric or an epoch", item.statement)
        if name != "on_train_epoch_end":
            raise Unproven("the schedule is not stepped at the end of the epoch", item.statement)
        self._check_nobody_reads(script, plan, item)
        for other in plan.hooks[name].items[: plan.hooks[name].items.index(item)]:
            if any(
                isinstance(n, ast.Continue | ast.Break | ast.Return)
                for n in walk_scope(code_of(other, plan)[1])
            ):
                raise Unproven("an epoch may end before the schedule is stepped", item.statement)
        plan.hooks[name].items.remove(item)
        if not plan.hooks[name].items:
            del plan.hooks[name]
        plan.dropped[item.statement] = "the Trainer steps the schedule after each epoch"
        plan.returned_schedulers = list(plan.schedulers)
        plan.hooks["configure_optimizers"] = configure_optimizers(plan)
        plan.notes.append(
            Note("engineering", item.statement.lineno, "the Trainer steps the schedule after each epoch")
        )
        return True

    def _check_nobody_reads(self, script: Script, plan: Plan, step: Moved) -> None:
        """After the last batch the Trainer steps at once: what stood before the step would see the next rate."""
        ends = plan.hooks["on_train_epoch_end"].items
        behind = ends[ends.index(step) :]
        for name, item in hook_items(plan):
            if item in behind or name in ("training_step", "on_train_epoch_start", "configure_optimizers"):
                continue
            scope, statements = code_of(item, plan)
            for node in walk_scope(statements):
                if isinstance(node, ast.Name | ast.Attribute) and script.roles.of(node, scope) in (
                    Role.OPTIMIZER,
                    Role.SCHEDULER,
                ):
                    raise Unproven(
                        "the learning rate is read between the last batch and the schedule's step", node
                    )
