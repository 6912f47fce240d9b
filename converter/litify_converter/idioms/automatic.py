"""zero_grad, backward and step in the usual order are the Trainer's work: automatic optimization."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from litify_converter.effects import is_call_of, only_looks
from litify_converter.idioms.base import Idiom, Unproven, code_of, hook_items
from litify_converter.idioms.optimized import holds_all
from litify_converter.idioms.progress import interval
from litify_converter.ir import Bind, Item, Moved, New, Note, Plan
from litify_converter.plan import configure_optimizers
from litify_converter.read import Script
from litify_converter.variables import Variables
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import bound, walk_scope

CLIP = {
    "torch.nn.utils.clip_grad_norm_": "norm",
    "torch.nn.utils.clip_grad_norm": "norm",  # its name before PyTorch 0.4
    "torch.nn.utils.clip_grad_value_": "value",
}
RATES = (Role.OPTIMIZER, Role.SCHEDULER)
REASON = "automatic optimization does it"


@dataclass(eq=False)
class _Step:
    """The places of the optimizer step among the items of training_step."""

    zero: list[int]
    backward: int
    step: int
    clip: int | None
    schedule: int | None
    loss: ast.expr
    rebound: bool = False  # whether the loss's name stands for something else behind backward()


class AutomaticOptimization(Idiom):
    """One optimizer, one backward, one step per batch, and nothing around them that depends on their order."""

    name = "automatic-optimization"

    def apply(self, script: Script, plan: Plan) -> bool:
        items = plan.hooks["training_step"].items
        if len(_optimizers(plan)) != 1:
            none = (
                "the optimizer is inside an object"
                if "on_train_start" in plan.hooks
                else "no optimizer was found"
            )
            raise Unproven("there is more than one optimizer" if _optimizers(plan) else none, plan.nest.outer)
        found = _find(script, plan, items)
        _check(script, plan, found)
        if found.clip is not None:
            _clip(script, plan, items[found.clip])
        backward = items[found.backward]
        assert isinstance(backward, Moved)
        gone = {*found.zero, found.backward, found.step, found.clip, found.schedule}
        rewritten: list[Item] = []
        for at, item in enumerate(items):
            if at not in gone:
                rewritten.append(item)
                continue
            assert isinstance(item, Moved)
            plan.dropped[item.statement] = REASON
            if at == found.backward and not isinstance(found.loss, ast.Name):
                rewritten.append(New(backward.scope, f"loss = {ast.unparse(found.loss)}", backward.statement))
            elif at == found.backward and found.rebound:
                kept = _free_name("train_loss", script)
                rewritten.append(
                    New(backward.scope, f"{kept} = {ast.unparse(found.loss)}", backward.statement)
                )
        name = found.loss.id if isinstance(found.loss, ast.Name) else "loss"
        name = _free_name("train_loss", script) if found.rebound else name
        rewritten.append(New(backward.scope, f"return {name}"))
        plan.hooks["training_step"].items = rewritten
        plan.automatic = True
        if found.schedule is not None:
            plan.returned_schedulers = list(plan.schedulers)
            plan.schedules_by_step = True
            plan.hooks["configure_optimizers"] = configure_optimizers(plan)
        plan.notes.append(
            Note("engineering", backward.statement.lineno, "the Trainer does zero_grad, backward and step")
        )
        return True


def _free_name(name: str, script: Script) -> str:
    taken = {n.id for n in ast.walk(script.tree) if isinstance(n, ast.Name)}
    return next(n for n in (name, f"{name}_", f"{name}__") if n not in taken)


def _optimizers(plan: Plan) -> list[str]:
    """What configure_optimizers returns: names of the set-up, or attributes of the object that trains."""
    if plan.owner is not None and plan.owner.optimizers:
        return [f"{plan.owner.self_name.name}.{name}" for name in plan.owner.optimizers]
    return [v.name for v in plan.optimizers]


def _check_zero_grad(script: Script, plan: Plan, item: Item) -> None:
    """The Trainer zeroes what the optimizer holds, by setting it to None."""
    assert isinstance(item, Moved)
    call = is_call_of(item.statement, "zero_grad")
    assert call is not None and isinstance(call.func, ast.Attribute)
    if any(not (k.arg == "set_to_none" and _is_true(k.value)) for k in call.keywords) or call.args:
        raise Unproven("zero_grad() is called with arguments", call)
    if script.roles.of(call.func.value, item.scope) is Role.MODEL and not holds_all(
        script, plan, call.func.value, item
    ):
        raise Unproven("zero_grad() of a model that is not exactly what the optimizer holds", call)


def _is_true(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


def _find(script: Script, plan: Plan, items: list[Item]) -> _Step:
    zero, backward, step, clip, schedule = [], [], [], [], []
    for at, item in enumerate(items):
        if not isinstance(item, Moved):
            continue
        if (call := is_call_of(item.statement, "zero_grad")) and _is(
            script, item, call, Role.OPTIMIZER, Role.MODEL
        ):
            zero.append(at)
        elif is_call_of(item.statement, "backward"):
            backward.append(at)
        elif (call := is_call_of(item.statement, "step")) and _is(script, item, call, Role.OPTIMIZER):
            step.append(at)
            assert isinstance(call.func, ast.Attribute)
            if plan.owner is not None and not _is_own(script, plan, call.func.value, item):
                raise Unproven("the optimizer is not the object's own", call)
        elif call is not None and _steps_schedule(script, plan, item, call):
            schedule.append(at)
        elif _clip_call(script, item.statement) is not None:
            clip.append(at)
    for at in zero:
        _check_zero_grad(script, plan, items[at])
    if len(backward) != 1 or len(step) != 1 or not zero or len(clip) > 1:
        raise Unproven("not exactly one zero_grad(), backward() and step() for each batch")
    item = items[backward[0]]
    assert isinstance(item, Moved)
    call = is_call_of(item.statement, "backward")
    assert call is not None and isinstance(call.func, ast.Attribute)
    if call.args or call.keywords:
        raise Unproven("backward() is called with arguments", call)
    if script.imports.resolve(call.func.value) == "torch.autograd":
        raise Unproven("torch.autograd.backward() is called directly", call)
    schedules = schedule[0] if schedule and _is_last(script, plan, items, step[0], schedule) else None
    return _Step(zero, backward[0], step[0], clip[0] if clip else None, schedules, call.func.value)


def _steps_schedule(script: Script, plan: Plan, item: Moved, call: ast.Call) -> bool:
    """Whether it is `scheduler.step()` of the only schedule that the set-up makes."""
    match call.func:
        case ast.Attribute(value=ast.Name(id=name)) if not call.args and not call.keywords:
            variables = Variables(script, [i for _, i in hook_items(plan)])
            return [variables.of(name, item.scope)] == plan.schedulers
    return False


def _is_last(script: Script, plan: Plan, items: list[Item], step: int, schedule: list[int]) -> bool:
    """The Trainer steps the schedule behind the step of each batch: nothing behind it may read the rate."""
    if len(schedule) != 1 or schedule[0] < step:
        return False
    for item in items[schedule[0] + 1 :]:
        scope, statements = code_of(item, plan)
        for node in walk_scope(statements):
            if isinstance(node, ast.Name | ast.Attribute) and script.roles.of(node, scope) in RATES:
                return False
    return not any(
        script.roles.of(node, code_of(item, plan)[0]) is Role.SCHEDULER
        for name, item in hook_items(plan)
        if name not in ("training_step", "configure_optimizers") and not isinstance(item, Bind)
        for node in walk_scope(code_of(item, plan)[1])
        if isinstance(node, ast.Name)
    )


def _is_own(script: Script, plan: Plan, optimizer: ast.expr, item: Moved) -> bool:
    """Whether configure_optimizers returns this very optimizer of the object that trains."""
    if (dotted(optimizer) or "") in _optimizers(plan):
        return True
    match optimizer:
        case ast.Attribute(value=ast.Name(id=name), attr=attribute) if plan.owner is not None:
            variables = Variables(script, [i for _, i in hook_items(plan)])
            same = variables.of(name, item.scope) == plan.owner.self_name
            return same and attribute in plan.owner.optimizers
    return False


def _is(script: Script, item: Moved, call: ast.Call, *roles: Role) -> bool:
    assert isinstance(call.func, ast.Attribute)
    return script.roles.of(call.func.value, item.scope) in roles


def _check(script: Script, plan: Plan, found: _Step) -> None:
    items = plan.hooks["training_step"].items
    first_zero, *more = found.zero
    node = plan.nest.outer
    if more or (first_zero > found.backward and first_zero < found.step):
        again = items[max(found.zero)]
        raise Unproven(
            "zero_grad() stands between backward() and step(), or more than once",
            again.statement if isinstance(again, Moved) else node,
        )
    if not found.backward < found.step:
        raise Unproven("step() comes before backward()", node)
    if found.clip is not None and not found.backward < found.clip < found.step:
        raise Unproven("gradients are clipped outside of backward() and step(), where it has no effect", node)
    own = {first_zero, found.backward, found.step, found.clip, found.schedule}
    loss = {n.id for n in ast.walk(found.loss) if isinstance(n, ast.Name)}
    progress = next(
        (i for i in items if interval(i, script, plan) is not None), None
    )  # ProgressPrint drops it
    for at, item in enumerate(items):
        if at in own:
            continue
        scope, statements = code_of(item, plan)
        _check_no_other_step(statements)
        if at <= found.backward:
            continue
        for statement in statements:
            if not only_looks(statement, script, scope):
                raise Unproven("a statement after backward() depends on its place", statement)
            if isinstance(found.loss, ast.Name) and loss & bound(statement) and item is not progress:
                if _changed_in_place(statement, found.loss.id):
                    plan.replaced[statement] = _as_new_value(statement, found.loss.id, plan, items[:at])
                found.rebound = True
    if not isinstance(found.loss, ast.Name):
        scope = items[found.backward].scope  # type: ignore[union-attr]
        if any("loss" in bound(code_of(i, plan)[1]) for i in items if code_of(i, plan)[0] is scope):
            raise Unproven("the name `loss` is taken", found.loss)


def _changed_in_place(statement: ast.stmt, name: str) -> bool:
    """Whether anything but `loss = ...` gives the name a value: `loss *= 2` changes what was returned."""
    plain = {
        id(target)
        for node in walk_scope(statement)
        if isinstance(node, ast.Assign)
        for one in node.targets
        for target in ast.walk(one)
    }
    return any(
        isinstance(node, ast.Name)
        and node.id == name
        and not isinstance(node.ctx, ast.Load)
        and id(node) not in plain
        for node in ast.walk(statement)
    )


def _as_new_value(statement: ast.stmt, name: str, plan: Plan, before: list[Item]) -> str:
    """`loss = loss * 2` for `loss *= 2`, where nothing else holds the loss: what is returned stays what it was."""
    calls = [n for i in before for n in walk_scope(code_of(i, plan)[1]) if isinstance(n, ast.Call)]
    given = [c for c in calls if any(isinstance(a, ast.Name) and a.id == name for a in c.args)]
    if any(not isinstance(c.func, ast.Name) or c.func.id not in ("float", "print") for c in given):
        raise Unproven("the loss is changed after backward()", statement)
    match statement:
        case ast.AugAssign(target=ast.Name(id=target), op=op, value=value) if target == name:
            return ast.unparse(ast.Assign([statement.target], ast.BinOp(ast.Name(name), op, value), lineno=0))
    raise Unproven("the loss is changed after backward()", statement)


def _check_no_other_step(statements: list[ast.stmt]) -> None:
    for node in walk_scope(statements):
        match node:
            case ast.Call(func=ast.Attribute(attr="backward" | "zero_grad" | "unscale_")):
                raise Unproven("there is another backward() or zero_grad() in the loop", node)
            case ast.Attribute(attr="grad"):
                raise Unproven("gradients are read in the loop", node)
            case ast.Continue() | ast.Break():
                raise Unproven("the loop is left, or a batch skipped, in the middle", node)
            case ast.FunctionDef():
                raise Unproven("a function is defined in the loop", node)


def _clip_call(script: Script, statement: ast.stmt) -> ast.Call | None:
    match statement:
        case ast.Expr(value=ast.Call() as call) if (script.imports.resolve(call.func) or "") in CLIP:
            return call
    return None


def _clip(script: Script, plan: Plan, item: Item) -> None:
    """`clip_grad_norm_(model.parameters(), x)` is Trainer(gradient_clip_val=x), where x is known before training."""
    assert isinstance(item, Moved)
    call = _clip_call(script, item.statement)
    assert call is not None
    values = {k.arg: k.value for k in call.keywords}
    if len(call.args) > 2 or set(values) - {"max_norm", "clip_value"}:
        raise Unproven("gradient clipping with further arguments", call)
    limit = call.args[1] if len(call.args) == 2 else next(iter(values.values()), None)
    match call.args[0] if call.args else None:
        case ast.Call(func=ast.Attribute(value=model, attr="parameters")) if holds_all(
            script, plan, model, item
        ):
            pass
        case _:
            raise Unproven("gradient clipping of something else than exactly what the optimizer holds", call)
    if limit is None or not isinstance(limit, ast.Constant | ast.Attribute | ast.Name):
        raise Unproven("the limit of gradient clipping is computed in the loop", call)
    plan.trainer["gradient_clip_val"] = (item.scope, limit)
    if CLIP[script.imports.resolve(call.func) or ""] == "value":
        plan.trainer_text["gradient_clip_algorithm"] = '"value"'
