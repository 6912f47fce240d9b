"""An evaluation after each epoch becomes validation_step: the Trainer runs it there, in eval mode, without gradients."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from litify_converter.blocks import after_loop
from litify_converter.effects import is_call_of, only_looks
from litify_converter.idioms.base import Idiom, Unproven, body_without_docstring, code_of, hook_items
from litify_converter.idioms.epoch_break import first_batch_break, limit
from litify_converter.idioms.left_in_eval import stay_in_eval
from litify_converter.ir import BatchLoop, Bind, Call, Hook, Item, Moved, New, Note, Plan, Scope, Variable
from litify_converter.iterables import Peel
from litify_converter.plan import jumps, receive
from litify_converter.read import Script
from litify_converter.remade import remakes_source
from litify_converter.variables import Variables, is_redundant
from litify_converter.written_out import take_arguments, take_result
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, free, read, walk_scope

NO_GRAD = {"torch.no_grad", "torch.inference_mode", "torch.set_grad_enabled"}


@dataclass(eq=False)
class Found:
    """An evaluation found at the end of the epoch: items of the hook, and what they come apart into."""

    first: int  # index of its first item in on_train_epoch_end
    last: int
    before: list[Item]
    loop: ast.For
    scope: Scope
    after: list[Item]
    function: Function | None


class Evaluation(Idiom):
    """`test(model, loader)` after each epoch, or the same written out, is a validation loop."""

    name = "validation-step"

    def apply(self, script: Script, plan: Plan) -> bool:
        end = plan.hooks.get("on_train_epoch_end")
        if end is None or plan.nest.epochs.statement is None:
            return False
        found = self._find(script, plan, end.items)
        if found is None:
            return False
        loop = _batch_loop(script, found)
        self._check(script, plan, found, loop, end.items)
        switches = [i for i in found.before if is_mode(script, i, "eval")]
        inner: list[Item] = [Moved(found.scope, s) for s in found.loop.body]
        body: list[Item] = [*receive(loop), *flatten(script, inner)]
        index = loop.index if loop.index_start is None else None
        step = [s for _, i in hook_items(plan, "training_step") for s in code_of(i, plan)[1]]
        if plan.nest.batches.in_epoch or any(isinstance(j, ast.Break) for s in step for j in jumps(s)):
            raise Unproven("an epoch that is left early would not be evaluated", found.loop)
        if any(isinstance(j, ast.Continue) for s in found.loop.body for j in jumps(s)):
            raise Unproven("the evaluation skips batches", found.loop)
        stop = first_batch_break(script, body, found.scope, index)
        if stop is not None:
            plan.dropped[stop[0]] = "the Trainer limits the batches"
            plan.trainer["limit_val_batches"] = (stop[2], limit(stop[1]))
        again = self._stays_in_eval(script, plan, found, end)
        for name, item in _mode_calls(script, plan):
            if again and is_mode(script, item, "train"):
                continue
            if item not in switches:
                plan.hooks[name].items.remove(item)
            assert isinstance(item, Moved)
            plan.dropped[item.statement] = "the Trainer switches between training and evaluation mode"
        for item in switches:
            assert isinstance(item, Moved)
            plan.dropped[item.statement] = "the Trainer evaluates in eval mode and without gradients"
        self._put(plan, found, loop, body, [i for i in found.before if i not in switches])
        return True

    def _find(self, script: Script, plan: Plan, items: list[Item]) -> Found | None:
        """The first evaluation among the items of on_train_epoch_end."""
        return _find(script, plan, items)

    def _stays_in_eval(self, script: Script, plan: Plan, found: Found, end: Hook) -> bool:
        variables = Variables(script, [i for _, i in hook_items(plan)] + found.before + found.after)
        models = {receiver(script, i, variables) for i in found.before if is_mode(script, i, "eval")}
        rest = end.items[found.last + 1 :]
        if not stay_in_eval(script, plan, models, rest):
            return False
        end.items[found.last + 1 :] = rest
        return True

    def _put(self, plan: Plan, found: Found, loop: BatchLoop, body: list[Item], before: list[Item]) -> None:
        assert loop.source is not None and loop.target is not None
        plan.trainer_text["num_sanity_val_steps"] = "0"  # its prints and files would come once too often
        plan.val_source = (found.scope, loop.source)
        plan.eval_loops.append(loop)
        end = plan.hooks["on_train_epoch_end"]
        end.items[found.first : found.last + 1] = []
        hooks = [
            Hook("on_validation_epoch_start", before),
            Hook("validation_step", body, ("batch", "batch_idx")),
            Hook("on_validation_epoch_end", found.after),
        ]
        order = list(plan.hooks.items())
        at = [n for n, _ in order].index("on_train_epoch_end")
        new = [(h.name, h) for h in hooks if h.items]
        plan.hooks = dict([*order[:at], *new, *order[at:]])
        if not end.items:
            del plan.hooks["on_train_epoch_end"]
        if found.function is not None:
            plan.absorbed.append(found.function)
        plan.notes.append(Note("engineering", found.loop.lineno, "the Trainer runs the evaluation loop"))

    def _check(self, script: Script, plan: Plan, found: Found, loop: BatchLoop, end: list[Item]) -> None:
        for item in end[: found.first]:
            scope, statements = code_of(item, plan)
            if not all(
                only_looks(s, script, scope) or is_call_of(s, "step") or _saves(script, s) for s in statements
            ):
                raise Unproven("what stands before the evaluation would run after it", statements[0])
        self._check_names(script, plan, found, end[: found.first])
        variables = Variables(script, [i for _, i in hook_items(plan)] + found.before + found.after)
        evaluated = {receiver(script, i, variables) for i in found.before if is_mode(script, i, "eval")}
        trained = {
            receiver(script, i, variables)
            for n, i in _mode_calls(script, plan)
            if is_mode(script, i, "train")
        }
        if not evaluated:
            raise Unproven("the evaluation does not switch the model to eval mode", found.loop)
        if not evaluated <= trained:
            raise Unproven("the model is not switched back to training mode in each epoch", found.loop)
        start = [i for n, i in hook_items(plan, "on_train_epoch_start") if not isinstance(i, Bind)]
        if not any(is_mode(script, i, "train") for i in start):
            raise Unproven("training mode is not switched on at the start of the epoch", found.loop)
        self._check_source(script, plan, loop, variables)

    def _check_names(self, script: Script, plan: Plan, found: Found, before: list[Item]) -> None:
        """What stands before the evaluation shares no name with it that either of them binds: it would run after it."""
        inside: list[Item] = [*found.before, Moved(found.scope, found.loop), *found.after]
        variables = Variables(script, [i for _, i in hook_items(plan)] + inside)
        own = [i for i in inside if not (isinstance(i, Bind) and is_redundant(i, variables))]
        changed = {v for i in own for v in variables.bound(i)}
        used = {variables.of(n, s) for s, parts in (code_of(i, plan) for i in own) for n in read(parts)}
        for item in before:
            set_before = {v for v in variables.bound(item) if v in used}
            if set_before:
                name = min(v.name for v in set_before)
                raise Unproven(f"the evaluation reads `{name}`, which is set before it", found.loop)
            scope, statements = code_of(item, plan)
            for name in sorted(read(statements)):
                if variables.of(name, scope) in changed:
                    raise Unproven(f"the evaluation uses the name `{name}` again", found.loop)

    def _check_source(self, script: Script, plan: Plan, loop: BatchLoop, variables: Variables) -> None:
        assert loop.source is not None
        made = {v for _, i in hook_items(plan) if not isinstance(i, Bind) for v in variables.bound(i)}
        named = _loader_name(loop.source)
        if script.roles.of(loop.source, loop.scope) is not Role.LOADER or named is None:
            raise Unproven("the evaluation does not iterate over a loader", loop.statement)
        variable = variables.of(named.id, loop.scope)
        entry = plan.nest.entry
        remade = remakes_source(script, plan.nest, batches=loop)
        if remade or variable is None or variable in made or variable.scope not in (entry, script.tree):
            raise Unproven("the loader of the evaluation is made anew in each epoch", loop.statement)
        train = plan.nest.batches
        names = [n for n in ast.walk(train.source or ast.Constant(None)) if isinstance(n, ast.Name)]
        key = _key(loop.source)
        if any(variables.of(n.id, train.scope) == variable for n in names) and (
            key is None or _key(train.source) in (None, key)
        ):
            raise Unproven("the evaluation runs over the training data", loop.statement)


def _saves(script: Script, statement: ast.stmt) -> bool:
    """`torch.save(model.state_dict(), path)`: evaluating changes no weight."""
    match statement:
        case ast.Expr(value=ast.Call(func=func, args=[ast.Call(func=ast.Attribute(attr="state_dict")), *_])):
            return script.imports.resolve(func) == "torch.save"
    return False


def _loader_name(source: ast.expr) -> ast.Name | None:
    """The name in `test_loader` and in `loaders["val"]`."""
    match source:
        case ast.Name() | ast.Subscript(value=ast.Name(), slice=ast.Constant()):
            return source if isinstance(source, ast.Name) else source.value  # type: ignore[return-value]
    return None


def _key(source: ast.expr | None) -> object:
    """The key in `loaders["val"]`."""
    match source:
        case ast.Subscript(value=ast.Name(), slice=ast.Constant(value=key)):
            return key
    return None


def _find(script: Script, plan: Plan, items: list[Item]) -> Found | None:
    """The first evaluation among the items of on_train_epoch_end."""
    for at, item in enumerate(items):
        if not isinstance(item, Moved):
            continue
        call = _only_call(item.statement)
        function = script.roles.callee(call, item.scope) if call is not None else None
        if call is not None and function is not None and _loops_over_loader(script, function.body, function):
            return _from_function(script, plan, at, Call(item.statement, call, item.scope, function))
        if is_mode(script, item, "eval"):
            return _inline(script, plan, items, at)
    return None


def _only_call(statement: ast.stmt) -> ast.Call | None:
    match statement:
        case ast.Expr(value=ast.Call() as call) | ast.Assign(value=ast.Call() as call):
            return call
    return None


def _from_function(script: Script, plan: Plan, at: int, call: Call) -> Found:
    function = call.function
    if function in script.roles.owner or function not in script.tree.body:
        raise Unproven("the evaluation is a method or a nested function", function)
    uses = [n for n in ast.walk(script.tree) if isinstance(n, ast.Name) and n.id == function.name]
    stays = len(uses) != 1
    if stays and not _is_called_afterwards(script, plan, function, uses):
        raise Unproven(f"{function.name}() is used in more than one place", function)
    if any(not is_no_grad(script, d) for d in function.decorator_list):
        raise Unproven(f"{function.name}() has a decorator", function)
    body = body_without_docstring(function)
    result = None
    if body and isinstance(body[-1], ast.Return):
        result = body[-1].value
        body = body[:-1]
    flat = flatten(script, [Moved(function, s) for s in body])
    before, loop, after = split(script, plan, flat)
    return Found(
        at,
        at,
        [*take_arguments(script, call), *before],
        loop,
        function,
        [*after, *take_result(call, result)],
        None if stays else function,
    )


def _is_called_afterwards(script: Script, plan: Plan, function: Function, uses: list[ast.Name]) -> bool:
    """Whether it is the function of one evaluation in training, and of others after it: for those it stays."""
    nest = plan.nest
    after = {id(n) for s in after_loop(nest.entry.body, nest.outer) for n in ast.walk(s)}
    variables = Variables(script, [])
    reads_set_up = any(variables.raw(n, script.tree) is not None for n in free(function))
    return not reads_set_up and not nest.repeated and len([n for n in uses if id(n) not in after]) == 1


def _inline(script: Script, plan: Plan, items: list[Item], at: int) -> Found:
    """From `model.eval()` over the loop to the last statement that only looks at its results."""
    item = items[at]
    assert isinstance(item, Moved)
    first = _gather(plan, items, at, item.scope)
    last = next(
        (
            i
            for i, other in enumerate(items)
            if i > at and isinstance(other, Moved) and _has_loop(script, other)
        ),
        None,
    )
    if last is None:
        raise Unproven("no loop follows the switch to eval mode", item.statement)
    while last + 1 < len(items) and isinstance(items[last + 1], Moved) and _prints(items[last + 1]):
        last += 1
    flat = flatten(script, items[first : last + 1])
    before, loop, after = split(script, plan, flat)
    return Found(first, last, before, loop, item.scope, after, None)


def _gather(plan: Plan, items: list[Item], at: int, scope: Scope) -> int:
    """Move `correct = 0` and the like, which may stand anywhere before, right before the evaluation. Returns its new start."""
    inside = read([s for i in items[at:] for s in code_of(i, plan)[1]])
    starts: list[Item] = []
    mentioned: set[str] = set()
    for item in reversed(items[:at]):
        name = _starts_from_constant(item, scope)
        statements = code_of(item, plan)[1]
        if name is not None and name in inside and name not in mentioned:
            starts.insert(0, item)
        else:
            mentioned |= {n.id for s in statements for n in ast.walk(s) if isinstance(n, ast.Name)}
    items[:at] = [*(i for i in items[:at] if i not in starts), *starts]
    return at - len(starts)


def _starts_from_constant(item: Item, scope: Scope) -> str | None:
    """The name in `correct = 0`, `losses = []` of this scope."""
    match item:
        case Moved(statement=ast.Assign(targets=[ast.Name(id=name)], value=value)) if item.scope is scope:
            return name if ast.unparse(value) in ("[]", "{}") or isinstance(value, ast.Constant) else None
    return None


def _prints(item: Item) -> bool:
    match item:
        case Moved(statement=ast.Expr(value=ast.Call(func=ast.Name(id="print")))):
            return True
    return False


def _has_loop(script: Script, item: Moved) -> bool:
    return _loops_over_loader(script, [item.statement], item.scope)


def _loops_over_loader(script: Script, body: list[ast.stmt], scope: Scope) -> bool:
    return any(
        isinstance(n, ast.For) and script.roles.of(Peel(script.imports)(n.iter)[0], scope) is Role.LOADER
        for n in walk_scope(body)
    )


def flatten(script: Script, items: list[Item]) -> list[Item]:
    """`with torch.no_grad():` opened: the Trainer evaluates without gradients."""
    flat: list[Item] = []
    for item in items:
        statement = item.statement if isinstance(item, Moved) else None
        if isinstance(statement, ast.With) and all(
            is_no_grad(script, i.context_expr) for i in statement.items
        ):
            flat += flatten(script, [Moved(item.scope, s) for s in statement.body])  # type: ignore[union-attr]
        else:
            flat.append(item)
    return flat


def is_no_grad(script: Script, node: ast.expr) -> bool:
    callee = node.func if isinstance(node, ast.Call) else node
    return script.imports.resolve(callee) in NO_GRAD


def split(script: Script, plan: Plan, items: list[Item]) -> tuple[list[Item], ast.For, list[Item]]:
    loops = [
        i for i in items if isinstance(i, Moved) and isinstance(i.statement, ast.For) and _has_loop(script, i)
    ]
    if len(loops) != 1:
        node = items[0].statement if items and isinstance(items[0], Moved) else None
        raise Unproven("the evaluation is not one loop over a loader", node)
    at = items.index(loops[0])
    loop = loops[0].statement
    assert isinstance(loop, ast.For)
    for item in items:
        for inner in walk_scope(code_of(item, plan)[1]):
            if isinstance(inner, ast.Return | ast.Yield):
                raise Unproven("the evaluation returns from its middle", inner)
            if isinstance(inner, ast.Attribute) and inner.attr in ("backward", "grad", "zero_grad"):
                raise Unproven("the evaluation computes gradients", inner)
    return items[:at], loop, items[at + 1 :]


def _batch_loop(script: Script, found: Found) -> BatchLoop:
    source, enumerated, start = Peel(script.imports)(found.loop.iter)
    target: ast.expr = found.loop.target
    index = None
    if enumerated:
        if not (
            isinstance(target, ast.Tuple) and isinstance(target.elts[0], ast.Name) and len(target.elts) == 2
        ):
            raise Unproven("enumerate() without an index and a batch as targets", found.loop)
        index, target = target.elts[0].id, target.elts[1]
    return BatchLoop(found.loop, found.scope, source, target, index, start)


def is_mode(script: Script, item: Item, mode: str) -> bool:
    if not isinstance(item, Moved):
        return False
    call = is_call_of(item.statement, mode)
    return call is not None and not call.args and script.roles.of(call, item.scope) is Role.MODEL


def _mode_calls(script: Script, plan: Plan) -> list[tuple[str, Item]]:
    """Top-level `model.train()` and `model.eval()` of the training hooks."""
    return [(n, i) for n, i in hook_items(plan) if is_mode(script, i, "train") or is_mode(script, i, "eval")]


def receiver(script: Script, item: Item, variables: Variables) -> Variable | str | None:
    assert isinstance(item, Moved)
    call = is_call_of(item.statement, "train") or is_call_of(item.statement, "eval")
    assert call is not None and isinstance(call.func, ast.Attribute)
    name = dotted(call.func.value) or ""
    return variables.of(name, item.scope) or name


__all__ = ["Evaluation", "Found", "New"]
