"""Numbers that only the end of the epoch reads are taken there, so that no step waits for the GPU."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable

from litify_converter.effects import trained_names
from litify_converter.idioms.base import Idiom, hook_items
from litify_converter.idioms.metrics import is_count
from litify_converter.ir import Bind, Hook, Item, Moved, New, Note, Plan, Scope, Variable
from litify_converter.read import Script
from litify_converter.variables import Variables, item_statements
from litify_linter.reading.imports import dotted
from litify_linter.reading.scopes import Function, free, read

END = "on_train_epoch_end"
STARTS = ("on_train_epoch_start", "train_dataloader")
REASON = "the number is read at the end of the epoch"


class LateNumbers(Idiom):
    """`last = loss.item()` and `losses.append(loss.item())`: the step keeps the tensor, the epoch's end reads it."""

    name = "late-numbers"

    def apply(self, script: Script, plan: Plan) -> bool:
        if not plan.automatic:
            return False
        variables = Variables(script, [i for _, i in hook_items(plan)])
        shared = _read_by_functions(script, plan, variables)
        steps = plan.hooks["training_step"].items
        last = steps[-1]
        loss = last.text.removeprefix("return ") if isinstance(last, New) else ""
        first: list[Item] = []
        for at, item in enumerate(list(steps)):
            found = _kept(item, variables, script, loss)
            if found is None or found.variable in shared or not _only_read_late(found, item, plan, variables):
                continue
            if isinstance(item, Moved):
                plan.dropped[item.statement] = REASON
                plan.notes.append(
                    Note("engineering", item.statement.lineno, f"`{found.variable.name}`: {REASON}")
                )
            steps[at] = found.in_step
            first.append(New(found.variable.scope, found.at_end))
        if first:
            end = plan.hooks.get(_end(plan)) or Hook(END, [])
            end.items[:0] = first
            _put(plan, end)
        return bool(first)


class _Kept:
    """A variable that takes a number in each step: what the step and the epoch's end do instead."""

    def __init__(self, variable: Variable, in_step: Item, is_list: bool, kind: str) -> None:
        self.variable = variable
        self.in_step = in_step
        self.is_list = is_list
        self.kind = kind  # "float", "int", or "item": what the tensor has

    @property
    def at_end(self) -> str:
        name = self.variable.name
        if self.is_list:
            return f"{name}[:] = map(float, {name})"
        return f"{name} = {name}.item()" if self.kind == "item" else f"{name} = {self.kind}({name})"


def _kept(item: Item, variables: Variables, script: Script, loss: str) -> _Kept | None:
    match item:
        case Moved(scope, ast.Assign(targets=[ast.Name(id=target)], value=value)):
            text, target_scope = "{} = {}", scope
        case Moved(
            scope, ast.Expr(ast.Call(ast.Attribute(ast.Name(id=target), attr="append"), args=[value]))
        ):
            text, target_scope = "{}.append({})", scope
        case Moved(scope, ast.AugAssign(ast.Name(id=target), ast.Add(), value)):
            text, target_scope = "{} += {}", scope
        case Bind(target_scope, ast.Name(id=target), scope, value):
            text = ""
        case _:
            return None
    inner = _item_in(value, sums="+=" in text)
    variable = variables.of(target, target_scope)
    tensor = _tensor(inner, script, scope) if inner is not None else None
    if inner is None or tensor is None or variable is None:
        return None
    is_loss = ast.unparse(tensor) == f"{loss}.detach()"
    is_list = "append" in text
    if is_list and not is_loss:
        return None
    kind = "float" if is_loss else "int" if inner is value and is_count(tensor) else "item"
    if "+=" in text and kind == "item":
        kind = "float"
    tensor = _Instead(inner, tensor).visit(copy.deepcopy(value)) if inner is not value else tensor
    new: Item
    if isinstance(item, Bind):
        new = Bind(item.target_scope, item.target, scope, tensor, item.of_result)
    else:
        new = New(scope, text.format(target, ast.unparse(tensor)), item.statement)
    return _Kept(variable, new, is_list, kind)


def _item_in(value: ast.expr, sums: bool) -> ast.Call | None:
    """`loss.item()`, which is the value, or in a sum a factor of it."""
    match value:
        case ast.Call(func=ast.Attribute(attr="item"), args=[], keywords=[]):
            return value
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div(), right=right) if sums:
            found = [one for one in (left, right) if "item" in _attributes(one)]
            return _item_in(found[0], sums) if len(found) == 1 else None
    return None


def _attributes(node: ast.expr) -> set[str]:
    return {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


class _Instead(ast.NodeTransformer):
    """Puts an expression in the place of another, found again by its place in the source."""

    def __init__(self, old: ast.Call, new: ast.expr) -> None:
        self.old, self.new = old, new

    def visit_Call(self, node: ast.Call) -> ast.expr:
        same = (node.lineno, node.col_offset, node.end_col_offset) == (
            self.old.lineno,
            self.old.col_offset,
            self.old.end_col_offset,
        )
        return self.new if same else self.generic_visit(node)  # type: ignore[return-value]


def _tensor(item: ast.Call, script: Script, scope: Scope) -> ast.expr | None:
    """`loss.detach()` for `loss.item()`, where the tensor is what a step computes: it does not change later."""
    assert isinstance(item.func, ast.Attribute)
    inner = item.func.value
    names = {d for n in ast.walk(inner) if isinstance(n, ast.Name | ast.Attribute) and (d := dotted(n))}
    if names & trained_names(script, scope):
        return None
    match inner:
        case ast.Call(func=ast.Attribute(attr="detach"), args=[]):
            return inner
        case ast.Attribute(value=owner, attr="data"):
            inner = owner
    return ast.Call(ast.Attribute(inner, "detach", ast.Load()), [], [])


def _read_by_functions(script: Script, plan: Plan, variables: Variables) -> set[Variable]:
    """Variables that functions which stay outside of the hooks read."""
    found: set[Variable] = set()
    for function in [*script.roles.functions.values(), *script.roles.owner]:
        if function not in plan.absorbed and function is not plan.nest.entry:
            outer = script.roles.outer[function]
            scope = outer if isinstance(outer, ast.Module | Function) else script.tree
            found |= {v for n in free(function) if (v := variables.of(n, scope)) is not None}
    return found


def _end(plan: Plan) -> str:
    """The hook that comes first after the steps of an epoch."""
    return "validation_step" if plan.nest.batches.source is None and "validation_step" in plan.hooks else END


def _only_read_late(kept: _Kept, own: Item, plan: Plan, variables: Variables) -> bool:
    """Whether no hook but the end of the epoch reads the variable, and the step binds it once."""
    variable = kept.variable
    read_late = False
    for name, item in hook_items(plan):
        if item is own:
            continue
        parts = item_statements(item, variables, plan)
        reads = any(variable in _variables(read(code), scope, variables) for scope, code in parts)
        binds = bool(parts) and variable in variables.bound(item)
        if name == _end(plan):
            read_late = read_late or reads
        elif name not in STARTS:  # where it is a number again
            if reads or binds:
                return False
        elif binds and kept.kind == "item":
            return False
    after = [s for s in plan.nest.entry.body if s.lineno > (plan.nest.outer.end_lineno or 0)]
    return read_late or variable in _variables(read(after), plan.nest.entry, variables)


def _variables(names: Iterable[str], scope: Scope, variables: Variables) -> set[Variable]:
    return {v for n in names if (v := variables.of(n, scope)) is not None}


def _put(plan: Plan, end: Hook) -> None:
    """The hook in its place, before configure_optimizers."""
    if end.name in plan.hooks:
        return
    hooks = list(plan.hooks.items())
    at = [n for n, _ in hooks].index("configure_optimizers")
    plan.hooks = dict([*hooks[:at], (END, end), *hooks[at:]])
