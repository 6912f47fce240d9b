"""Sums over the batches of an epoch, read at its end, are self.log: reduced on the device and over all processes."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from litify_converter.idioms.base import Idiom, code_of, hook_items
from litify_converter.ir import BatchLoop, Hook, Item, Moved, New, Note, Plan, Scope, Variable
from litify_converter.loaders import is_length
from litify_converter.read import Script
from litify_converter.variables import Variables
from litify_linter.reading.scopes import read, walk_scope

COUNTS = {"correct", "n_correct", "num_correct", "hits", "right", "corrects", "running_corrects"}


@dataclass(eq=False)
class _Sum:
    """`name = 0` before the loop, `name += value` once per batch, read after the loop."""

    name: str
    scope: Scope
    start: Moved
    add: Moved
    value: ast.expr
    integer: bool
    division: ast.expr | None = None  # what every read divides it by
    in_place: Item | None = None  # `name /= division`


class EpochMetrics(Idiom):
    """`total += loss.item()` in the step and `total / len(loader)` at the end of the epoch."""

    name = "epoch-metrics"

    def apply(self, script: Script, plan: Plan) -> bool:
        done = self._rewrite(
            script, plan, ("on_validation_epoch_start", "validation_step", "on_validation_epoch_end"),
            plan.eval_loops[0] if plan.eval_loops else None,
        )  # fmt: skip
        if plan.automatic:
            hooks = ("on_train_epoch_start", "training_step", "on_train_epoch_end")
            done = self._rewrite(script, plan, hooks, plan.nest.batches) or done
        return done

    def _rewrite(
        self, script: Script, plan: Plan, names: tuple[str, str, str], loop: BatchLoop | None
    ) -> bool:
        if loop is None or loop.statement is None or not all(n in plan.hooks for n in names):
            return False
        start, step, end = (plan.hooks[n] for n in names)
        variables = Variables(script, [i for _, i in hook_items(plan)])
        sums = [s for item in list(start.items) if (s := _sum(item, step, variables, plan)) is not None]
        sums = [s for s in sums if self._only_read_in(s, names[2], script, variables, plan)]
        for one in sums:
            _find_division(one, end, plan, variables)
        for one in sums:
            self._replace(one, start, step, end, plan, *_logged(one, loop, variables, script))
        reads = [New(s.scope, _read_text(s, step.name)) for s in sums]
        end.items[:0] = reads
        for one in sums:
            self._log_accuracy(one, end, step.name, plan, sums)
        for hook in (start, end):
            if not hook.items:
                del plan.hooks[hook.name]
        return bool(sums)

    def _only_read_in(self, one: _Sum, end: str, script: Script, variables: Variables, plan: Plan) -> bool:
        """No hook but the one at the end of the epoch reads the sum, nor anything after training."""
        variable = variables.of(one.name, one.scope)
        for name, item in hook_items(plan):
            if item in (one.start, one.add) or name == end:
                continue
            scope, statements = code_of(item, plan)
            if any(variables.of(n, scope) == variable for n in read(statements)):
                return False
        entry, outer = plan.nest.entry, plan.nest.outer
        if variable is not None and variable.scope is entry:
            later = [s for s in entry.body if s.lineno > (outer.end_lineno or 0)]
            return one.name not in read(later)
        return True

    def _replace(
        self, one: _Sum, start: Hook, step: Hook, end: Hook, plan: Plan, value: ast.expr, options: list[str]
    ) -> None:
        start.items.remove(one.start)
        plan.dropped[one.start.statement] = "self.log sums over the epoch"
        training = step.name == "training_step"
        if training:
            options.insert(0, "on_step=False, on_epoch=True")
        if training or "use_distributed_sampler" not in plan.trainer_text:
            options.append("sync_dist=True")  # else each process evaluates all of the data
        text = f'SELF__.log("{one.name}", {ast.unparse(value)}, {", ".join(options)})'
        step.items[step.items.index(one.add)] = New(one.scope, text, one.add.statement)
        plan.dropped[one.add.statement] = "self.log sums over the epoch"
        if one.in_place is not None:
            end.items.remove(one.in_place)
        elif one.division is not None:
            plan.expressions[f"{one.name} / {ast.unparse(one.division)}"] = one.name
        plan.notes.append(
            Note("non-essential", one.add.statement.lineno, f"{one.name} is reduced by self.log")
        )

    def _log_accuracy(self, one: _Sum, end: Hook, step: str, plan: Plan, sums: list[_Sum]) -> None:
        """A count of right answers that is divided by the number of samples is an accuracy: one more curve."""
        if one.name not in COUNTS or one.division is not None:
            return
        for item in end.items:
            for node in walk_scope(code_of(item, plan)[1]):
                share = _share(node, one.name)
                if share is not None:
                    prefix = "train_" if step == "training_step" else ""
                    end.items.append(
                        New(one.scope, f'SELF__.log("{prefix}accuracy", {one.name} / {ast.unparse(share)})')
                    )
                    return


def _share(node: ast.AST, name: str) -> ast.expr | None:
    """The divisor in `name / n` and `100. * name / n`."""
    match node:
        case ast.BinOp(left=ast.Name(id=left), op=ast.Div(), right=right) if left == name:
            return right
        case ast.BinOp(left=ast.BinOp(op=ast.Mult(), right=ast.Name(id=left)), op=ast.Div(), right=right) if (
            left == name
        ):
            return right
    return None


def _sum(item: Item, step: Hook, variables: Variables, plan: Plan) -> _Sum | None:
    match item:
        case Moved(scope, ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=0 | 0.0))):
            variable = variables.of(name, scope)
        case _:
            return None
    adds = [i for i in step.items if isinstance(i, Moved) and _touches(i, variable, variables, plan)]
    if len(adds) != 1:
        return None
    match adds[0].statement:
        case ast.AugAssign(op=ast.Add(), value=value) if name not in read(value):
            plain, integer = without_item(value)
            return None if plain is None else _Sum(name, scope, item, adds[0], plain, integer)
    return None


def _touches(item: Moved, variable: Variable | None, variables: Variables, plan: Plan) -> bool:
    scope, statements = code_of(item, plan)
    return any(variables.of(n, scope) == variable for n in read(statements)) or variable in variables.bound(
        item
    )


def without_item(value: ast.expr) -> tuple[ast.expr | None, bool]:
    """The value on its device (`.item()`, `float()` taken off), and whether it is a whole number."""
    match value:
        case ast.Call(func=ast.Attribute(value=inner, attr="item"), args=[]):
            return inner, is_count(inner)
        case ast.Call(func=ast.Name(id="float"), args=[inner]):
            return inner, False
        case ast.Call(func=ast.Name(id="int"), args=[inner]):
            return inner, True
        case ast.BinOp(left=left, op=ast.Mult(), right=right) if _is_size(right) or _is_size(left):
            size, other = (right, left) if _is_size(right) else (left, right)
            plain, _ = without_item(other)
            return (ast.BinOp(plain, ast.Mult(), size), False) if plain is not None else (None, False)
        case ast.Call() if _is_size(value):
            return value, True
    return None, False


def is_count(node: ast.expr) -> bool:
    """A sum of truth values: `pred.eq(target).sum()`, `(pred == target).sum()`."""
    return any(
        isinstance(n, ast.Compare) or (isinstance(n, ast.Attribute) and n.attr in ("eq", "ne"))
        for n in ast.walk(node)
    )


def _is_size(node: ast.expr) -> bool:
    """`len(x)`, `x.size(0)`, `x.shape[0]`, `data.num_graphs`: the number of samples of a batch."""
    match node:
        case ast.Attribute(attr="num_graphs"):
            return True
        case ast.Call(func=ast.Name(id="len")):
            return True
        case ast.Call(func=ast.Attribute(attr="size"), args=[ast.Constant(value=0)]):
            return True
        case ast.Subscript(value=ast.Attribute(attr="shape"), slice=ast.Constant(value=0)):
            return True
    return False


def _find_division(one: _Sum, end: Hook, plan: Plan, variables: Variables) -> None:
    """Where every read of the sum divides it by one thing, the mean is logged instead."""
    divisors: list[ast.expr] = []
    reads = 0
    variable = variables.of(one.name, one.scope)
    for item in end.items:
        scope, statements = code_of(item, plan)
        match item:
            case Moved(statement=ast.AugAssign(target=ast.Name(id=name), op=ast.Div(), value=divisor)) if (
                variables.of(name, scope) == variable and reads == 0
            ):
                one.in_place = item
                one.division = divisor
                return
        for node in walk_scope(statements):
            match node:
                case ast.BinOp(left=ast.Name(id=name), op=ast.Div(), right=divisor) if name == one.name:
                    divisors.append(divisor)
            if (
                isinstance(node, ast.Name)
                and node.id == one.name
                and variables.of(node.id, scope) == variable
            ):
                reads += 1
    if divisors and len(divisors) == reads and len({ast.unparse(d) for d in divisors}) == 1:
        one.division = divisors[0]


def _logged(one: _Sum, loop: BatchLoop, variables: Variables, script: Script) -> tuple[ast.expr, list[str]]:
    """The value to log for one batch, and the options that make its mean (or sum) the script's."""
    size = _batch_size(loop)
    over_samples = one.division is not None and is_length(
        one.division, loop, variables, script, of_dataset=True
    )
    over_batches = one.division is not None and is_length(
        one.division, loop, variables, script, of_dataset=False
    )
    if over_samples and size is not None:
        match one.value:
            case ast.BinOp(left=mean, op=ast.Mult(), right=samples) if _is_size(samples):
                return mean, [f"batch_size={ast.unparse(samples)}"]
        value = ast.BinOp(one.value, ast.Div(), ast.parse(size, mode="eval").body)
        return value, [f"batch_size={size}"]
    if over_batches:
        return one.value, ["batch_size=1"]
    one.division = None
    one.in_place = None
    return one.value, ['reduce_fx="sum"']


def _batch_size(loop: BatchLoop) -> str | None:
    """The length of the first part of a batch, where that is a tensor for all that can be seen; None: not known.

    The length of a batch with one name is that of a list, a dictionary or a graph: not the number of its samples.
    """
    match loop.target:
        case ast.Tuple(elts=[ast.Name(id=name), *_]) if not _is_mapping(name, loop):
            return f"len({name})"
        case ast.Name(id=name) if _is_tensor(name, loop):
            return f"len({name})"
    return None


def _is_tensor(name: str, loop: BatchLoop) -> bool:
    """`data.size(0)`, `data.view(...)`, `len(data)`."""
    for node in ast.walk(loop.statement) if loop.statement is not None else ():
        match node:
            case ast.Attribute(
                value=ast.Name(id=used), attr="size" | "shape" | "view" | "reshape" | "flatten"
            ) | ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=used)]) if (used == name):
                return True
    return False


def _is_mapping(name: str, loop: BatchLoop) -> bool:
    """`inputs["ids"]`, `**inputs`, `inputs.items()`."""
    for node in ast.walk(loop.statement) if loop.statement is not None else ():
        match node:
            case (
                ast.Subscript(value=ast.Name(id=used), slice=ast.Constant(value=str()))
                | ast.keyword(arg=None, value=ast.Name(id=used))
                | ast.Attribute(value=ast.Name(id=used), attr="items" | "keys" | "values")
            ) if (used == name):
                return True
    return False


def _read_text(one: _Sum, step: str) -> str:
    value = f'SELF__.trainer.callback_metrics["{one.name}"]'
    whole = one.integer and one.division is None
    return f"{one.name} = int({value})" if whole else f"{one.name} = {value}.item()"
