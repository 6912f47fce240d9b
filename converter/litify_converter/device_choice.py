"""Who chooses the device of a script that puts tensors there itself: the Trainer where it can be asked, else the script."""

from __future__ import annotations

import ast

from litify_converter.blocks import statements_of
from litify_converter.idioms.setup import is_hardware, keep_option
from litify_converter.ir import TRAINER, Hook, Plan
from litify_converter.moves import moved_by_hand
from litify_converter.read import Script
from litify_converter.trainer_use import early_use
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, bound, function_locals, read


def choose_device(script: Script, plan: Plan) -> None:
    """The set-up's `device` and the Trainer's are one.

    `device = trainer.strategy.root_device`, with the Trainer made there, where its arguments are known by then: every flag
    that chooses another device then holds for all of the script. Else the Trainer gets `accelerator=device.type`.
    """
    entry, outer = plan.nest.entry, plan.nest.outer
    if plan.owner is not None:
        _tell_owner(script, plan)
        return
    gone = plan.moved_setup | set(plan.dropped)
    top = [s for s in entry.body if s.lineno < outer.lineno and s not in gone]
    for statement in top:
        names = {
            n for n in bound(statement) if script.roles.of(ast.Name(n, ast.Load()), entry) is Role.DEVICE
        }
        if len(names) != 1 or isinstance(statement, Function | ast.ClassDef):
            continue
        name = names.pop()
        if sum(name in bound(s) for s in top) != 1 or name in bound(outer):
            return
        text = _is_text(statement)
        if is_hardware(script, statement, plan) and _can_be_asked(script, plan, top, statement):
            asked = f"{TRAINER}.strategy.root_device{'.type' if text else ''}"
            plan.chosen = (statement, f"{name} = {asked}")
        elif not {"accelerator"} & {*plan.trainer, *plan.trainer_text}:
            kind = f"torch.device({name})" if text else name
            if _is_sure(statement) and (not text or "torch" in script.imports.names):
                plan.trainer_text["accelerator"] = f"{kind}.type"
        return
    test = moved_by_hand(script, plan)  # `if args.cuda: model.cuda()`
    if not isinstance(test, ast.expr) or "accelerator" in {**plan.trainer, **plan.trainer_text}:
        return
    if any(script.roles.of(n, entry) is Role.CONFIG for n in ast.walk(test) if isinstance(n, ast.expr)):
        choice = ast.IfExp(test, ast.Constant("auto"), ast.Constant("cpu"))
        plan.trainer["accelerator"] = (entry, choice)


def owners_device(script: Script, plan: Plan) -> str | None:
    """The attribute in which the object that trains keeps its torch.device: `device` of `self.device = torch.device(...)`."""
    assert plan.owner is not None
    for node in ast.walk(plan.owner.node):
        match node:
            case ast.Assign(
                targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)], value=ast.Call(func=func)
            ):
                if script.imports.resolve(func) == "torch.device":
                    return name
    return None


def _tell_owner(script: Script, plan: Plan) -> None:
    """The object whose method trains goes on putting tensors on its device: it is told the Trainer's."""
    name = owners_device(script, plan)
    if name is None or plan.owner is None or "on_fit_start" in plan.hooks:
        return
    told = Hook("on_fit_start", [], first=[f"self.{plan.owner.name}.{name} = self.device"])
    plan.hooks = {"on_fit_start": told, **plan.hooks}


def _can_be_asked(script: Script, plan: Plan, top: list[ast.stmt], statement: ast.stmt) -> bool:
    """Whether the Trainer's arguments are known where the device is chosen, and the choice is one of its arguments."""
    if early_use(plan) is not None or plan.nest.of_several:
        return False
    asks_option = any(
        script.roles.of(n, plan.nest.entry) is Role.CONFIG
        for n in ast.walk(statement)
        if isinstance(n, ast.expr)
    ) or any(
        script.roles.of(ast.Name(n, ast.Load()), plan.nest.entry) is Role.HAS_GPU for n in read(statement)
    )
    late = {n for s in top[top.index(statement) :] for n in bound(s)}
    for scope, value in plan.trainer.values():
        own = (
            function_locals(scope) if isinstance(scope, Function) and scope is not plan.nest.entry else set()
        )
        if read(value) & (late | own):
            return False
    for text in plan.trainer_text.values():
        if any(isinstance(n, ast.Name | ast.Call) for n in ast.walk(ast.parse(text, mode="eval"))):
            return False
    if "accelerator" in {**plan.trainer, **plan.trainer_text} or not asks_option:
        return True
    return keep_option(script, plan, statement) or not _reads_option(script, plan, statement)


def _reads_option(script: Script, plan: Plan, statement: ast.stmt) -> bool:
    """Whether the choice, or a truth value that it tests, comes from the command line."""
    entry = plan.nest.entry
    wanted = read(statement)
    makers = [s for s in statements_of(entry.body) if isinstance(s, ast.Assign) and bound(s) & wanted]
    return any(
        isinstance(n, ast.Name) and script.roles.of(n, entry) is Role.CONFIG
        for s in [statement, *makers]
        for n in ast.walk(s)
    )


def _is_text(statement: ast.stmt) -> bool:
    """`"cuda" if torch.cuda.is_available() else "cpu"`, rather than a torch.device."""
    values = [n.value for n in ast.walk(statement) if isinstance(n, ast.Assign)]
    calls = [n.func for v in values for n in ast.walk(v) if isinstance(n, ast.Call)]
    return not any(
        isinstance(f, ast.Attribute | ast.Name) and ast.unparse(f).endswith(("device", "current_accelerator"))
        for f in calls
    )


def _is_sure(statement: ast.stmt) -> bool:
    """Whether the value is a torch.device or a text for one, not what a function of the script gives."""
    return not any(isinstance(n, ast.Attribute) and n.attr == "type" for n in ast.walk(statement))
