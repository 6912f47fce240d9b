"""The evaluation of a script that trains on all of its data at once: one validation_step after each training_step."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_converter.idioms.base import Idiom, Unproven, body_without_docstring, code_of, hook_items
from litify_converter.idioms.evaluation import flatten, is_mode, is_no_grad, receiver
from litify_converter.idioms.left_in_eval import stay_in_eval
from litify_converter.ir import Bind, Call, Hook, Item, Moved, New, Note, Plan, Scope, Variable
from litify_converter.plan import jumps
from litify_converter.read import Script
from litify_converter.variables import Variables
from litify_converter.written_out import take_arguments, take_result
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, read, walk_scope

END, STEP = "on_train_epoch_end", "validation_step"
Receivers = set[Variable | str | None]


class FullBatchEvaluation(Idiom):
    """`accuracies = test()` at the end of an epoch that is one step."""

    name = "full-batch-evaluation"

    def apply(self, script: Script, plan: Plan) -> bool:
        end = plan.hooks.get(END)
        nest = plan.nest
        if (
            end is None
            or STEP in plan.hooks
            or nest.batches.source is not None
            or nest.epochs.statement is None
        ):
            return False
        calls = {at: c for at, item in enumerate(end.items) if (c := _evaluation(script, item)) is not None}
        inline = [at for at, item in enumerate(end.items) if is_mode(script, item, "eval")]
        if not calls and not inline:
            return False
        moved, stays = self._divide(script, plan, end.items, max([*calls, *inline]))
        variables = Variables(script, [i for _, i in hook_items(plan)])
        evaluated: Receivers = {receiver(script, end.items[at], variables) for at in inline}
        _check_before(script, plan, variables, end.items[: min([*calls, *inline])])
        body: list[Item] = []
        for at, item in enumerate(moved):
            if at not in calls:
                body.append(item)
                continue
            flat = _written_out(script, plan, calls[at])
            evaluated |= _check_mode(script, plan, calls[at], flat or _of_body(calls[at].function))
            body += [item] if flat is None else flat
        trained = _trained(script, plan, variables, evaluated)
        if stay_in_eval(script, plan, evaluated, stays):
            trained = []
        self._put(script, plan, body, stays, trained)
        plan.notes.append(
            Note("engineering", _line(end.items[min([*calls, *inline])]), "the Trainer runs the evaluation")
        )
        return True

    def _divide(
        self, script: Script, plan: Plan, items: list[Item], last_call: int
    ) -> tuple[list[Item], list[Item]]:
        """What goes into validation_step, and from the first statement on that can't, what stays."""
        for at, item in enumerate(items):
            reason = None if is_mode(script, item, "eval") else _belongs_to_training(script, plan, item)
            if reason is not None:
                if at <= last_call:
                    raise Unproven(f"before the evaluation, {reason}", code_of(item, plan)[1][0])
                return items[:at], items[at:]
        return items, []

    def _put(
        self, script: Script, plan: Plan, body: list[Item], stays: list[Item], trained: list[tuple[str, Item]]
    ) -> None:
        for hook, item in trained:
            assert isinstance(item, Moved)
            plan.hooks[hook].items.remove(item)
            plan.dropped[item.statement] = "the Trainer switches between training and evaluation mode"
        for item in list(body):
            if is_mode(script, item, "eval"):
                assert isinstance(item, Moved)
                body.remove(item)
                plan.dropped[item.statement] = "the Trainer evaluates in eval mode and without gradients"
        plan.trainer_text["num_sanity_val_steps"] = "0"  # its prints and files would come once too often
        plan.val_source = (plan.nest.entry, ast.parse("range(1)", mode="eval").body)
        hooks = {STEP: Hook(STEP, body + _logs(body, plan), ("batch", "batch_idx")), END: Hook(END, stays)}
        order = [(n, h) for n, h in plan.hooks.items() if h.items or n == "training_step"]
        at = [n for n, _ in order].index(END)
        plan.hooks = dict([*order[:at], *((n, h) for n, h in hooks.items() if h.items), *order[at + 1 :]])


def _evaluation(script: Script, item: Item) -> Call | None:
    """`accuracy = test()`, where test() of the script switches a model to eval mode."""
    match item:
        case Moved(
            scope, ast.Expr(value=ast.Call() as call) | ast.Assign(value=ast.Call() as call) as statement
        ):
            function = script.roles.callee(call, scope)
            if function not in script.tree.body:
                return None
            if function is not None and any(is_mode(script, i, "eval") for i in _of_body(function)):
                return Call(statement, call, scope, function)
    return None


def _line(item: Item) -> int:
    return item.statement.lineno if isinstance(item, Moved) else 1


def _check_before(script: Script, plan: Plan, variables: Variables, before: list[Item]) -> None:
    """Nothing that stands before the switch to eval mode uses a model."""
    for item in before:
        scope, statements = code_of(item, plan)
        if not isinstance(item, Bind) and _models(script, variables, scope, statements):
            raise Unproven("a model is used before it is in eval mode", statements[0])


def _of_body(function: Function) -> list[Item]:
    return [Moved(function, s) for s in body_without_docstring(function)]


def _belongs_to_training(script: Script, plan: Plan, item: Item) -> str | None:
    scope, statements = code_of(item, plan)
    if isinstance(item, Moved) and jumps(item.statement):
        return "the loop is left"
    for node in walk_scope(statements):
        match node:
            case ast.Attribute(attr="backward" | "grad" | "zero_grad" | "requires_grad"):
                return "gradients are computed"
            case ast.Call(func=ast.Attribute(value=owner, attr="step")) if script.roles.of(owner, scope):
                return "an optimizer or a schedule steps"
            case ast.Call(func=ast.Attribute(value=owner, attr="train" | "eval")) if (
                script.roles.of(owner, scope) is Role.MODEL
            ):
                return "the mode is switched"
    return None


def _written_out(script: Script, plan: Plan, call: Call) -> list[Item] | None:
    """The function's own statements, where it is called here alone and returns at its end only; else None."""
    function = call.function
    uses = [n for n in ast.walk(script.tree) if isinstance(n, ast.Name) and n.id == function.name]
    body = body_without_docstring(function)
    result = body[-1].value if body and isinstance(body[-1], ast.Return) else None
    body = body[:-1] if body and isinstance(body[-1], ast.Return) else body
    inner = list(walk_scope(body))
    if (
        len(uses) != 1
        or any(not is_no_grad(script, d) for d in function.decorator_list)
        or any(isinstance(n, ast.Return | ast.Yield | ast.Global | Function | ast.Lambda) for n in inner)
        or not isinstance(call.statement, ast.Assign | ast.Expr)
    ):
        return None
    plan.absorbed.append(function)
    flat = flatten(script, [Moved(function, s) for s in body])
    return [*take_arguments(script, call), *flat, *take_result(call, result)]


def _check_mode(script: Script, plan: Plan, call: Call, items: list[Item]) -> Receivers:
    """The models that the evaluation switches to eval mode, before it uses any model."""
    variables = Variables(script, [*(i for _, i in hook_items(plan)), *take_arguments(script, call)])
    evaluated: Receivers = set()
    for item in items:
        if is_mode(script, item, "eval"):
            evaluated.add(receiver(script, item, variables))
            continue
        scope, statements = code_of(item, plan)
        reason = None if isinstance(item, Bind) else _belongs_to_training(script, plan, item)
        if reason is not None:
            raise Unproven(f"in the evaluation, {reason}", call.statement)
        if not isinstance(item, Bind) and not _models(script, variables, scope, statements) <= evaluated:
            raise Unproven("the evaluation uses a model that is not in eval mode", call.statement)
    return evaluated


def _models(script: Script, variables: Variables, scope: Scope, code: Iterable[ast.stmt]) -> Receivers:
    """The models that code reads."""
    return {
        variables.of(name, scope) or name
        for name in read(code)
        if script.roles.of(ast.Name(name, ast.Load()), scope) is Role.MODEL
        and name not in script.roles.classes
    }


def _trained(
    script: Script, plan: Plan, variables: Variables, evaluated: Receivers
) -> list[tuple[str, Item]]:
    """The switches to training mode, one for each evaluated model before the step uses it."""
    found: list[tuple[str, Item]] = []
    back: Receivers = set()
    for hook, item in hook_items(plan, "on_train_epoch_start", "training_step"):
        if is_mode(script, item, "train"):
            found.append((hook, item))
            back.add(receiver(script, item, variables))
            continue
        if isinstance(item, Bind):
            continue
        scope, statements = code_of(item, plan)
        if (_models(script, variables, scope, statements) & evaluated) - back:
            raise Unproven("the model is not switched back to training mode in each epoch", plan.nest.outer)
    if not evaluated <= back:
        raise Unproven("the model is not switched back to training mode in each epoch", plan.nest.outer)
    code = [
        s
        for _, item in hook_items(plan, "on_train_epoch_start", "training_step")
        for s in code_of(item, plan)[1]
    ]
    if any(isinstance(n, ast.Attribute) and n.attr == "eval" for n in walk_scope(code)):
        return []  # the step evaluates too, and leaves the model so
    return found


def _logs(body: list[Item], plan: Plan) -> list[Item]:
    """`self.log` for the results that a print shows as numbers: `{accuracy:.4f}`."""
    results: dict[str, Scope] = {}
    for item in body:
        match item:
            case Bind(target_scope=scope, target=target, of_result=True):
                pass
            case Moved(scope, ast.Assign(targets=[target], value=ast.Call())):
                pass
            case _:
                continue
        results |= {n.id: scope for n in ast.walk(target) if isinstance(n, ast.Name)}
    shown = {
        node.value.id: None
        for item in body
        for node in walk_scope(code_of(item, plan)[1])
        if isinstance(node, ast.FormattedValue)
        and isinstance(node.value, ast.Name)
        and node.format_spec is not None
        and ast.unparse(node.format_spec).rstrip("'\"").endswith("f")
    }
    return [
        New(results[name], f'SELF__.log("{name}", {name}, batch_size=1)') for name in shown if name in results
    ]


__all__ = ["FullBatchEvaluation"]
