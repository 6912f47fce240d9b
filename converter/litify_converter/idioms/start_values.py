"""`best = 0` before training becomes `self.best = 0` in `__init__`."""

from __future__ import annotations

import ast
import math

from litify_converter.blocks import after_loop, around_loop, beside_loop, shallow, statements_of
from litify_converter.idioms.base import Idiom
from litify_converter.ir import Hook, Moved, Plan, Variable
from litify_converter.lifetimes import Home, find_homes
from litify_converter.read import Script
from litify_linter.reading.imports import dotted
from litify_linter.reading.scopes import Function, bound, exposed, free, read

INFINITE = {"math.inf", "numpy.inf", "torch.inf", "sys.maxsize"}


class StartValues(Idiom):
    """What training changes starts with a literal that nothing but the hooks has to do with before it."""

    name = "start-values"

    def apply(self, script: Script, plan: Plan) -> bool:
        nest = plan.nest
        entry, outer = nest.entry, nest.outer
        around = around_loop(entry.body, outer)
        if nest.of_several or nest.repeated or outer not in around:
            return False
        wanted = _start_attributes(script, plan) - _shared(script, plan)
        statements = list(statements_of(entry.body))
        beside = beside_loop(entry.body, outer)
        after = exposed(after_loop(entry.body, outer))
        found: list[ast.stmt] = [
            s
            for s in around
            if s.lineno < outer.lineno
            and isinstance(s, ast.Assign)
            and all(isinstance(t, ast.Name) for t in s.targets)
            and _is_start(script, s.value)
            and bound(s) <= wanted
            and (len(s.targets) == 1 or not isinstance(s.value, ast.List | ast.Dict))
            and (s in beside or not bound(s) & after)  # where nothing is trained there is no module to ask
            and all(_used_only_here(n, s, statements, plan) for n in bound(s))
        ]
        if not found:
            return False
        init = plan.hooks.pop("__init__", None)
        if init is None or not init.items:
            plan.instance_last = True
        items = [*(init.items if init else []), *(Moved(entry, s) for s in found)]
        plan.hooks = {"__init__": Hook("__init__", items), **plan.hooks}
        plan.moved_setup |= set(found)
        plan.starts = found
        return True


def _start_attributes(script: Script, plan: Plan) -> set[str]:
    """Names of the entry that `__init__` would be given only to keep them, and that hooks bind or fill."""
    homes = find_homes(script, plan)
    kept = set(homes.attributes.values())
    bound_in_hooks = {v for n, u in homes.usages.items() if n != "__init__" for v in u.bound}
    return {
        v.name
        for v, home in homes.home.items()
        if v.scope is plan.nest.entry
        and home is Home.ATTRIBUTE
        and v.name in kept
        and (v in bound_in_hooks or _is_filled(script, plan, v))
    }


def _is_filled(script: Script, plan: Plan, variable: Variable) -> bool:
    """A list or a dictionary: `losses = []`."""
    return any(
        isinstance(s, ast.Assign) and isinstance(s.value, ast.List | ast.Dict) and variable.name in bound(s)
        for s in statements_of(variable.scope.body)
    )


def _shared(script: Script, plan: Plan) -> set[str]:
    """Names that functions which stay read from outside."""
    entry = plan.nest.entry
    functions = [*script.roles.functions.values(), *script.roles.owner]
    inside = {n for n in ast.walk(entry) if isinstance(n, Function | ast.Lambda)}
    staying = [f for f in functions if f not in plan.absorbed and f is not entry]
    sees = isinstance(entry, ast.Module)
    return {n for f in staying if sees or f in inside for n in free(f)} | {
        n for f in inside if isinstance(f, ast.Lambda) for n in free(f)
    }


def _is_start(script: Script, value: ast.expr) -> bool:
    """A literal number, text, truth value or None, an infinity, or an empty list or dictionary."""
    match value:
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return _is_start(script, inner)
        case ast.Constant():
            return True
        case ast.List(elts=[]) | ast.Dict(keys=[]):
            return True
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str(text))], keywords=[]):
            return text.strip().lower().lstrip("+-") in ("inf", "infinity")
        case ast.Attribute():
            return (script.imports.resolve(value) or dotted(value)) in INFINITE
    return False


def _used_only_here(name: str, start: ast.stmt, statements: list[ast.stmt], plan: Plan) -> bool:
    """Whether the entry's own code has nothing to do with a name but to give it its start, and to read it after training."""
    outer = plan.nest.outer
    for statement in statements:
        if statement is start or outer.lineno <= statement.lineno <= (outer.end_lineno or math.inf):
            continue
        if isinstance(statement, Function | ast.ClassDef) or statement in plan.moved_setup:
            continue
        own = shallow(statement)
        early = statement.lineno < outer.lineno
        if name in bound(own) or (early and name in read(own)):
            return False
    return not any(name in read(value) for _, value in plan.trainer.values())
