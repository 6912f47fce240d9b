"""An evaluation function called for several loaders in each epoch is one validation_step over all of them."""

from __future__ import annotations

import ast
import copy

from litify_converter.idioms.base import Unproven, body_without_docstring, hook_items
from litify_converter.idioms.evaluation import Evaluation, Found, flatten, is_mode, is_no_grad, split
from litify_converter.idioms.metrics import without_item
from litify_converter.ir import BatchLoop, Bind, Call, Hook, Item, Moved, New, Plan
from litify_converter.read import Script
from litify_converter.variables import Variables
from litify_converter.written_out import take_arguments
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, bound, read, walk_scope

END = "on_train_epoch_end"


class SeveralLoaders(Evaluation):
    """`train_acc = test(train_loader)`, then `test_acc = test(test_loader)`: sums over batches, divided at the end."""

    name = "several-loaders"

    def apply(self, script: Script, plan: Plan) -> bool:
        if "validation_step" in plan.hooks:
            return False
        if not super().apply(script, plan):
            return False
        plan.notes = [n for n in plan.notes if not n.text.startswith(f"{Evaluation.name} left out")]
        return True

    def _find(self, script: Script, plan: Plan, items: list[Item]) -> Found | None:
        calls = _calls(script, items)
        if len(calls) < 2:
            return None
        first, last = min(calls), max(calls)
        one = calls[first]
        function = one.function
        if len(calls) != last - first + 1:
            raise Unproven("something stands between the evaluations", one.statement)
        if any(not is_no_grad(script, d) for d in function.decorator_list):
            raise Unproven(f"{function.name}() has a decorator", function)
        *body, end = body_without_docstring(function)
        if not isinstance(end, ast.Return) or end.value is None:
            raise Unproven(f"{function.name}() does not end with its result", function)
        before, loop, after = split(script, plan, flatten(script, [Moved(function, s) for s in body]))
        if after:
            raise Unproven("the evaluation goes on after its loop", loop)
        self.loaders = _loaders(script, plan, list(calls.values()), loop)
        self.sums = _sums(before, loop)
        starts = [i for i in before if not is_mode(script, i, "eval")]
        if any(not (isinstance(i, Moved) and bound(i.statement) <= self.sums) for i in starts):
            raise Unproven("the evaluation starts with more than sums", loop)
        results: list[Item] = []
        for number, call in enumerate(calls.values()):
            results += _results(
                call, end.value, self.sums, ast.unparse(loop.iter), self.loaders[number], number
            )
        parameter = ast.unparse(loop.iter)
        given = [
            i for i in take_arguments(script, one) if not (isinstance(i, Bind) and _is(i.target, parameter))
        ]
        for item in starts:
            assert isinstance(item, Moved)
            plan.dropped[item.statement] = "self.log sums over the batches"
        switches = [i for i in before if i not in starts]
        return Found(first, last, [*given, *switches], loop, function, results, function)

    def _check_source(self, script: Script, plan: Plan, loop: BatchLoop, variables: Variables) -> None:
        """The loaders were checked when they were found."""

    def _put(self, plan: Plan, found: Found, loop: BatchLoop, body: list[Item], before: list[Item]) -> None:
        logged = [_logged(item, self.sums, plan) for item in body]
        super()._put(plan, found, loop, logged, before)
        loaders = ", ".join(self.loaders)
        plan.val_source = (plan.nest.entry, ast.parse(f"[{loaders}]", mode="eval").body)
        step = plan.hooks["validation_step"]
        plan.hooks["validation_step"] = Hook(step.name, step.items, ("batch", "batch_idx", "dataloader_idx"))


def _is(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Name) and target.id == name


def _calls(script: Script, items: list[Item]) -> dict[int, Call]:
    """`accuracy = test(loader)` by their places: all calls of one function of the script, and all its uses."""
    found: dict[int, Call] = {}
    for at, item in enumerate(items):
        match item:
            case Moved(scope, ast.Assign(targets=[_], value=ast.Call() as call) as statement):
                function = script.roles.callee(call, scope)
                first = next(iter(found.values()), None)
                if function is None or function not in script.tree.body or function in script.roles.owner:
                    continue
                if any(isinstance(n, ast.For) for n in walk_scope(function.body)) and (
                    first is None or first.function is function
                ):
                    found[at] = Call(statement, call, scope, function)
    names = {c.function.name for c in found.values()}
    uses = [n for n in ast.walk(script.tree) if isinstance(n, ast.Name) and n.id in names]
    return found if len(uses) == len(found) else {}


def _loaders(script: Script, plan: Plan, calls: list[Call], loop: ast.For) -> list[str]:
    """The loaders of the calls, in the names of the entry; all else that they pass must be the same."""
    parameter = loop.iter.id if isinstance(loop.iter, ast.Name) else ""
    variables = Variables(script, [i for _, i in hook_items(plan)])
    changed = {v for _, i in hook_items(plan) if not isinstance(i, Bind) for v in variables.bound(i)}
    found, others = [], set()
    for call in calls:
        given = script.roles.arguments(call.call, call.function)
        value = given.pop(parameter, None)
        if not isinstance(value, ast.Name) or script.roles.of(value, call.caller) is not Role.LOADER:
            raise Unproven("the evaluation does not iterate over a loader that it is given", call.statement)
        variable = variables.of(value.id, call.caller)
        if variable is None or variable in changed or variable.scope not in (plan.nest.entry, script.tree):
            raise Unproven("the loader of the evaluation is made anew in each epoch", call.statement)
        found.append(variable.name)
        others.add(tuple(sorted((n, ast.unparse(v)) for n, v in given.items())))
    if len(others) != 1:
        raise Unproven("the evaluations are called with different arguments", calls[0].statement)
    return found


def _sums(before: list[Item], loop: ast.For) -> set[str]:
    """Names that start at 0 and are added to once for each batch, and read nowhere else in the loop."""
    zero: set[str] = set()
    for item in before:
        match item:
            case Moved(statement=ast.Assign(targets=targets, value=ast.Constant(value=0 | 0.0))):
                zero |= {t.id for t in targets if isinstance(t, ast.Name)}
    added = [
        s.target.id for s in loop.body if isinstance(s, ast.AugAssign) and isinstance(s.target, ast.Name)
    ]
    for name in zero:
        mentions = [n for n in walk_scope(loop.body) if isinstance(n, ast.Name) and n.id == name]
        if added.count(name) != 1 or len(mentions) != 1:
            raise Unproven(f"`{name}` is more than a sum over the batches", loop)
    return zero


def _logged(item: Item, sums: set[str], plan: Plan) -> Item:
    match item:
        case Moved(
            scope, ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=value) as statement
        ) if (name in sums):
            plain, _ = without_item(value)
            text = ast.unparse(plain if plain is not None else value)
            plan.dropped[statement] = "self.log sums over the batches"
            return New(scope, f'SELF__.log("{name}", {text}, reduce_fx="sum", sync_dist=True)', statement)
    return item


def _results(
    call: Call, value: ast.expr, sums: set[str], parameter: str, loader: str, number: int
) -> list[Item]:
    """`accuracy = correct / len(loader.dataset)` with the sums of one loader."""
    for part in value.elts if isinstance(value, ast.Tuple) else [value]:
        if not (isinstance(part, ast.BinOp) and isinstance(part.op, ast.Div)):
            raise Unproven("the result of the evaluation is no mean", call.statement)
    local = read(value) - sums - {parameter, "len"}
    if local & _locals(call.function):
        raise Unproven(f"the result of the evaluation reads `{min(local)}`", call.statement)
    assert isinstance(call.statement, ast.Assign)
    target = call.statement.targets[0]
    pairs = [(target, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        pairs = list(zip(target.elts, value.elts, strict=True))
    items: list[Item] = []
    for one, mean in pairs:
        if ast.unparse(one) == "_":
            continue
        text = ast.unparse(_InLoader(sums, parameter, loader, number).visit(copy.deepcopy(mean)))
        origin = None if items else call.statement
        items.append(New(call.caller, f"{ast.unparse(one)} = {text}", origin))
        if isinstance(one, ast.Name):
            items.append(New(call.caller, f'SELF__.log("{one.id}", {one.id})'))
    return items


def _locals(function: Function) -> set[str]:
    return bound(function.body) | {a.arg for a in function.args.args}


class _InLoader(ast.NodeTransformer):
    """Sums are read from the Trainer; the loader is the caller's."""

    def __init__(self, sums: set[str], parameter: str, loader: str, number: int) -> None:
        self.sums, self.parameter, self.loader, self.number = sums, parameter, loader, number

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.sums:
            text = f'SELF__.trainer.callback_metrics["{node.id}/dataloader_idx_{self.number}"].item()'
            return ast.parse(text, mode="eval").body
        return ast.Name(self.loader, node.ctx) if node.id == self.parameter else node
