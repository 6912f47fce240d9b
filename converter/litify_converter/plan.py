"""Stage 5, plan: Nest -> Plan, in its general form: manual optimization, every statement in its order."""

from __future__ import annotations

import ast
import copy
import itertools
import re

from litify_converter.blocks import statements_of
from litify_converter.effects import draws_random
from litify_converter.ir import (
    BatchLoop,
    Bind,
    Hook,
    Item,
    Moved,
    Nest,
    New,
    Note,
    Owner,
    Plan,
    Scope,
    Variable,
)
from litify_converter.read import Script
from litify_converter.refusals import ControlFlow, LoopShape, StepElsewhere
from litify_converter.remade import refuse_remade, remakes_source
from litify_converter.reserved import attribute_name
from litify_converter.sources import BATCH_START, check_source, goes_on
from litify_converter.variables import Variables, edited, is_redundant
from litify_converter.wrapped_optimizers import configure_wrapped, wrapped_optimizers
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, bound, parameters, read, surely_bound, walk_scope


def general_plan(script: Script, nest: Nest) -> Plan:
    """The translation that is right for every nest.

    Raises:
        Refusal: a `break` or `continue` that no hook can express, batches made anew in each epoch.
    """
    plan = Plan(nest, class_name(script, nest), {})
    plan.owner = _owner(script, nest)
    plan.optimizers, plan.schedulers = _made(script, nest, Role.OPTIMIZER), _made(
        script, nest, Role.SCHEDULER
    )
    _refuse_missing(plan.optimizers)
    refuse_remade(script, plan)
    start, step, end = list(nest.start), receive(nest.batches) + list(nest.step), list(nest.end)
    fresh = check_source(script, nest, [*start, *step, *end], [*step, *end])
    hooks = {
        "on_train_epoch_start": Hook("on_train_epoch_start", start),
        "training_step": Hook("training_step", step, ("batch", "batch_idx")),
        "on_train_epoch_end": Hook("on_train_epoch_end", end),
    }
    if (still := goes_on(nest.batches)) is not None:
        hooks = {"on_train_epoch_start": hooks["on_train_epoch_start"], still.name: still, **hooks}
    plan.hooks = {n: h for n, h in hooks.items() if any(not isinstance(i, Bind) for i in h.items) or h.items}
    plan.absorbed = [call.function for call in nest.calls]
    _drop_bars(plan)
    plan.hooks["configure_optimizers"] = configure_optimizers(plan)
    if not plan.optimizers and plan.owner is None and (wrapped := wrapped_optimizers(script, nest)):
        configure_wrapped(plan, wrapped)
    plan.trainer |= _epochs(nest)
    _trainer_arguments(script, plan)
    if fresh is not None:
        _make_anew(script, plan, fresh)
    _prepare_batches(script, plan)
    return plan


def _make_anew(script: Script, plan: Plan, source: ast.expr) -> None:
    """Each epoch makes its batches anew, as the script does; loaders that are zipped are iterated anew together."""
    scope = plan.nest.batches.scope
    text = ast.unparse(source)
    match source:
        case ast.Call(func=ast.Name(id="zip"), args=[_, _, *_] as loaders, keywords=[]) if (
            all(script.roles.of(one, scope) is Role.LOADER for one in loaders)
            and isinstance(plan.nest.batches.target, ast.Tuple)  # the batch is a list, not a tuple
            and "CombinedLoader" not in bound(script.tree.body)
        ):
            text = f'CombinedLoader([{", ".join(map(ast.unparse, loaders))}], "min_size")'
            plan.imports.add("CombinedLoader")
        case _:
            plan.trainer_text["reload_dataloaders_every_n_epochs"] = "1"
    plan.hooks["train_dataloader"] = Hook("train_dataloader", [New(scope, f"return {text}")])


def _trainer_arguments(script: Script, plan: Plan) -> None:
    """What lowering found: an option is read in the entry, where it is known there."""
    known = Variables(script, ())
    for name, text in script.trainer.items():
        value = ast.parse(text, mode="eval").body
        if isinstance(value, ast.Constant):
            plan.trainer_text[name] = text
        elif all(known.raw(n, plan.nest.entry) is not None for n in read(value)):
            plan.trainer[name] = (plan.nest.entry, value)


def class_name(script: Script, nest: Nest) -> str:
    """`Lit` and the network's class where there is one, else the script's name; of several loops the network's name."""
    models = [
        made
        for scope in [script.tree, *script.roles.functions.values()]
        for n in walk_scope(scope.body)
        if isinstance(n, ast.Assign)
        and (made := _made_class(n.value)) in script.roles.module_classes()
        and (not nest.of_several or {t.id for t in _names(n.targets)} & nest.mentioned)
    ]
    models = models or _optimized_classes(script)
    base = models[0] if len(set(models)) == 1 else ""
    if not base and nest.of_several:
        networks = {v.name for v in _made(script, nest, Role.MODEL)}
        base = _camel(networks.pop()) if len(networks) == 1 else ""
    stem = script.path.resolve().parent.name if script.stem in ("main", "train", "run") else script.stem
    name = whole = f"Lit{base or _camel(stem) or 'Model'}"
    for number in itertools.count(2):
        if name not in script.roles.classes:
            return name
        name = f"{whole}{number}"
    raise AssertionError  # numbers do not end


def _optimized_classes(script: Script) -> list[str]:
    """Classes of other files whose objects' parameters an optimizer gets: `Net` of `net = Net()`, `Adam(net.parameters())`."""
    scopes = [script.tree, *script.roles.functions.values()]
    nodes = [n for scope in scopes for n in walk_scope(scope.body)]
    held = {
        n.func.value.id
        for call in nodes
        if isinstance(call, ast.Call)
        for n in call.args
        if isinstance(n, ast.Call)
        and isinstance(n.func, ast.Attribute)
        and n.func.attr == "parameters"
        and isinstance(n.func.value, ast.Name)
    }
    made = [
        _made_class(n.value) or ""
        for n in nodes
        if isinstance(n, ast.Assign) and {t.id for t in _names(n.targets)} & held
    ]
    return [name for name in made if name[:1].isupper() and name in script.imports.names]


def _camel(words: str) -> str:
    whole = "".join(w[:1].upper() + w[1:] for w in words.replace("-", "_").split("_") if w)
    return "".join(c for c in whole if c.isalnum())


def _made_class(value: ast.expr) -> str | None:
    """The class a value is made of: `Net` for `Net().to(device)`."""
    while isinstance(value, ast.Call):
        if isinstance(value.func, ast.Name):
            return value.func.id
        value = value.func.value if isinstance(value.func, ast.Attribute) else value.func
    return None


def _owner(script: Script, nest: Nest) -> Owner | None:
    """The class whose method holds the loop, or a method of which the loop calls."""
    entry = nest.entry
    node = script.roles.owner.get(entry) if isinstance(entry, Function) else None
    if node is not None and isinstance(entry, Function) and entry.args.args:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", node.name).lower()
        return _owner_of(script, node, attribute_name(words), Variable(entry, entry.args.args[0].arg), entry)
    for call in nest.calls:
        node = script.roles.owner.get(call.function)
        receiver = call.call.func.value if isinstance(call.call.func, ast.Attribute) else None
        if node is not None and isinstance(receiver, ast.Name):
            variable = Variables(script, ()).raw(receiver.id, call.caller)
            if variable is None or variable.scope not in (entry, script.tree):
                continue
            found = _owner_of(script, node, attribute_name(receiver.id), variable, call.function)
            if found.optimizers:
                return found
    return None


def _owner_of(script: Script, node: ast.ClassDef, name: str, self_name: Variable, method: Function) -> Owner:
    is_network = script.roles.class_role(node.name) is Role.MODEL  # its parts are registered with it
    made = {n: script.roles.of(ast.parse(f"self.{n}", mode="eval").body, method) for n in _attributes(node)}
    return Owner(
        node,
        name,
        self_name,
        tuple(n for n, role in made.items() if role is Role.OPTIMIZER),
        tuple(n for n, role in made.items() if role in (Role.MODEL, Role.CRITERION) and not is_network),
    )


def _attributes(node: ast.ClassDef) -> list[str]:
    """Attributes that the methods of a class set on `self`, in order."""
    return list(
        dict.fromkeys(
            n.attr
            for n in ast.walk(node)
            if isinstance(n, ast.Attribute)
            and isinstance(n.ctx, ast.Store)
            and isinstance(n.value, ast.Name)
            and n.value.id == "self"
        )
    )


def _made(script: Script, nest: Nest, role: Role) -> list[Variable]:
    """Optimizers (or schedulers) that the set-up makes or that the entry is given, in their order."""
    entry = nest.entry
    given = [] if isinstance(entry, ast.Module) else parameters(entry)
    found = [Variable(entry, n) for n in given if script.roles.of(ast.Name(n, ast.Load()), entry) is role]
    scopes = [entry] if found else list(dict.fromkeys([script.tree, entry]))
    for scope in scopes:
        for node in walk_scope(scope.body):
            if isinstance(node, ast.Assign) and not _inside(node, nest.outer):
                for target in _names(node.targets):
                    if script.roles.of(target, scope) is role:
                        found.append(Variable(scope, target.id))
    if nest.of_several:  # those of this loop
        found = [variable for variable in found if variable.name in nest.mentioned]
    return list(dict.fromkeys(found))


def _refuse_missing(optimizers: list[Variable]) -> None:
    """Of several optimizers each must be there in every run: `configure_optimizers` has no place for None."""
    for variable in optimizers if len(optimizers) > 1 else []:
        made = [
            n
            for n in walk_scope(variable.scope.body)
            if isinstance(n, ast.Assign) and variable.name in {t.id for t in _names(n.targets)}
        ]
        missing = [n for n in made if any(_is_none(v) for v in _choices(n.value))]
        if not missing:
            continue
        body = [_Without(missing).visit(copy.deepcopy(s)) for s in variable.scope.body]
        if variable.name not in surely_bound(body):
            refusal = StepElsewhere(f"the optimizer `{variable.name}` is None in some runs", missing[0])
            refusal.advice = "make it in every run, over the parameters that there are"
            raise refusal


def _choices(value: ast.expr) -> list[ast.expr]:
    """`a` and `b` of `a if condition else b`."""
    return [*_choices(value.body), *_choices(value.orelse)] if isinstance(value, ast.IfExp) else [value]


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


class _Without(ast.NodeTransformer):
    """Puts `pass` in the places of statements, found again by their lines."""

    def __init__(self, gone: list[ast.Assign]) -> None:
        self.places = {(s.lineno, s.col_offset) for s in gone}

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        return ast.Pass() if (node.lineno, node.col_offset) in self.places else node


def _names(targets: list[ast.expr]) -> list[ast.Name]:
    return [
        n for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    ]


def _inside(node: ast.AST, outer: ast.stmt) -> bool:
    line = getattr(node, "lineno", 0)
    return outer.lineno <= line <= (outer.end_lineno or outer.lineno)


def receive(batches: BatchLoop) -> list[Item]:
    """The first lines of training_step: the batch, and its index, take the script's names."""
    items: list[Item] = []
    if isinstance(batches.statement, ast.While) and not batches.in_epoch:
        test = batches.statement.test
        if not (isinstance(test, ast.Constant) and test.value):
            stop = f"if not ({ast.unparse(test)}):\n    SELF__.trainer.should_stop = True\n    return"
            items.append(New(batches.scope, stop, batches.statement))
    if batches.index is not None:
        start = f" + {ast.unparse(batches.index_start)}" if batches.index_start is not None else ""
        items.append(New(batches.scope, f"{batches.index} = BATCH_IDX__{start}"))
    if batches.target is not None:
        items.append(New(batches.scope, f"{ast.unparse(batches.target)} = BATCH__"))
    return items


def _drop_bars(plan: Plan) -> None:
    """Progress bars go, with every statement that only speaks to them: the Trainer has its own."""
    bars = plan.nest.bars
    if not bars:
        return
    moved = [i.statement for h in plan.hooks.values() for i in h.items if isinstance(i, Moved)]
    for statement in statements_of(moved):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) if name in bars:
                plan.dropped[statement] = "the Trainer shows progress"
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))) if name in bars:
                plan.dropped[statement] = "the Trainer shows progress"
                plan.notes.append(
                    Note("non-essential", statement.lineno, "the Trainer has a progress bar of its own")
                )
    for statement in moved:
        for left in edited(statement, plan):
            shared = read(left) & bars
            if shared:
                raise LoopShape(
                    f"the progress bar `{min(shared)}` is used for more than showing progress", statement
                )


def _prepare_batches(script: Script, plan: Plan) -> None:
    """What makes the loader at the start of an epoch, and random draws there, come first: they move into train_dataloader().

    In the first epoch the Trainer iterates the loader before on_train_epoch_start; train_dataloader comes earlier still.
    """
    nest = plan.nest
    source = nest.batches.source
    remade = remakes_source(script, nest)
    start = plan.hooks.get("on_train_epoch_start") or (Hook("on_train_epoch_start", []) if remade else None)
    if nest.epochs.statement is None or source is None or start is None or "train_dataloader" in plan.hooks:
        return
    is_loader = script.roles.of(source, nest.batches.scope) is Role.LOADER  # it draws when it is iterated
    variables = Variables(script, start.items)
    sources = {variables.of(n, nest.batches.scope) for n in read(source)}
    needed = [
        i
        for i, item in enumerate(start.items)
        if (
            is_loader
            and isinstance(item, Moved)
            and draws_random(edited(item.statement, plan), script, item.scope)
        )
        or (
            not (isinstance(item, Bind) and is_redundant(item, variables)) and variables.bound(item) & sources
        )
        or (remade and remakes_source(script, nest, item))
    ]
    if not needed and not remade:
        return
    cut = needed[-1] + 1 if needed else 0
    first, rest = start.items[:cut], start.items[cut:]
    for item in first:
        if isinstance(item, Moved) and (found := jumps(item.statement)):
            raise ControlFlow(f"a `{_word(found[0])}` before the batch loop of an epoch", found[0])
    hook = Hook("train_dataloader", [*first, New(nest.batches.scope, f"return {ast.unparse(source)}")])
    plan.hooks = {"train_dataloader": hook, **plan.hooks}
    start.items = rest
    if not rest:
        plan.hooks.pop("on_train_epoch_start", None)
    plan.trainer_text["reload_dataloaders_every_n_epochs"] = "1"


def leave_loops(plan: Plan) -> None:
    """`continue` and `break` of the loops that are gone become returns."""
    nest = plan.nest
    in_step: list[ast.Break | ast.Continue] = []
    at_end: list[ast.Break | ast.Continue] = []
    for name, found in (
        ("training_step", in_step),
        ("on_train_epoch_end", at_end),
        ("on_train_epoch_start", at_end),
    ):
        for item in plan.hooks[name].items if name in plan.hooks else []:
            if isinstance(item, Moved):
                for jump in jumps(item.statement):
                    if jump in plan.dropped:
                        continue
                    if name == "on_train_epoch_start":
                        _end_training_early(plan, jump, item.scope)
                        continue
                    loop = nest.batches.statement if name == "training_step" else nest.epochs.statement
                    if item.scope is not _scope_of(nest, loop):
                        raise ControlFlow(f"a `{_word(jump)}` out of a function that is written out", jump)
                    found.append(jump)
    one_loop = nest.epochs.statement is None or nest.batches.statement is None
    for jump in in_step:
        if isinstance(jump, ast.Continue):
            plan.replaced[jump] = "return"
        elif one_loop:
            plan.replaced[jump] = "self.trainer.should_stop = True\nreturn"
        else:
            plan.replaced[jump] = "self.epoch_is_over = True\nreturn"
            _end_epoch_early(plan)
    for jump in at_end:
        stop = "self.trainer.should_stop = True\n" if isinstance(jump, ast.Break) else ""
        plan.replaced[jump] = f"{stop}return"


def _end_training_early(plan: Plan, jump: ast.Break | ast.Continue, scope: Scope) -> None:
    """A `break` before the batch loop: the epoch that has begun ends without a batch and without what follows them."""
    if isinstance(jump, ast.Continue) or plan.nest.batches.statement is None or BATCH_START in plan.hooks:
        raise ControlFlow(f"a `{_word(jump)}` before the batch loop of an epoch", jump)
    if scope is not plan.nest.epochs.scope:
        raise ControlFlow(f"a `{_word(jump)}` out of a function that is written out", jump)
    flag = "self.training_is_over"
    plan.replaced[jump] = f"self.trainer.should_stop = True\n{flag} = True\nreturn"
    start = plan.hooks["on_train_epoch_start"]
    if f"{flag} = False" in start.first:
        return
    start.first.append(f"{flag} = False")
    skip = Hook(BATCH_START, [], ("batch", "batch_idx"), [f"return -1 if {flag} else None"])
    rest = {n: h for n, h in plan.hooks.items() if h is not start}
    plan.hooks = {start.name: start, skip.name: skip, **rest}
    if "on_train_epoch_end" in plan.hooks:
        plan.hooks["on_train_epoch_end"].first.insert(0, f"if {flag}:\n    return")
    plan.notes.append(Note("look", jump.lineno, "the Trainer fetches one more batch before it stops"))


def _scope_of(nest: Nest, loop: ast.stmt | None) -> Scope:
    return nest.batches.scope if loop is nest.batches.statement and loop is not None else nest.epochs.scope


def _word(jump: ast.stmt) -> str:
    return "break" if isinstance(jump, ast.Break) else "continue"


def _end_epoch_early(plan: Plan) -> None:
    """The batch loop is left by a flag that the next on_train_batch_start reads."""
    flag = "self.epoch_is_over"
    start = plan.hooks.setdefault("on_train_epoch_start", Hook("on_train_epoch_start", []))
    if f"{flag} = False" in start.first:
        return
    start.first.append(f"{flag} = False")
    again = plan.hooks.get(BATCH_START)
    if again is not None:
        again.first.insert(0, f"if {flag}:\n    return -1")
    else:
        again = Hook(BATCH_START, [], ("batch", "batch_idx"), [f"return -1 if {flag} else None"])
    rest = {n: h for n, h in plan.hooks.items() if h not in (start, again)}
    plan.hooks = {start.name: start, again.name: again, **rest}
    line = plan.nest.batches.statement.lineno if plan.nest.batches.statement else 1
    plan.notes.append(
        Note("look", line, "the Trainer fetches one more batch before it leaves the epoch early")
    )


def jumps(statement: ast.stmt) -> list[ast.Break | ast.Continue]:
    """`break` and `continue` that leave the statement: not those of loops inside it."""
    if isinstance(statement, ast.Break | ast.Continue):
        return [statement]
    if isinstance(statement, Function | ast.ClassDef):
        return []
    blocks = [getattr(statement, n, []) for n in ("body", "orelse", "finalbody")]
    if isinstance(statement, ast.For | ast.While | ast.AsyncFor):
        blocks = [statement.orelse]
    blocks += [h.body for h in getattr(statement, "handlers", [])] + [
        c.body for c in getattr(statement, "cases", [])
    ]
    return [jump for block in blocks for inner in block for jump in jumps(inner)]


def configure_optimizers(plan: Plan) -> Hook:
    """The optimizers, and the schedules that the Trainer steps, as the set-up made them."""
    names = [v.name for v in plan.optimizers]
    scope = plan.optimizers[0].scope if plan.optimizers else plan.nest.entry
    if plan.owner is not None and plan.owner.optimizers:
        names = [f"{plan.owner.self_name.name}.{name}" for name in plan.owner.optimizers]
        scope = plan.nest.entry
    schedules = [v.name for v in plan.returned_schedulers]
    if plan.schedules_by_step:
        schedules = [f'{{"scheduler": {name}, "interval": "step"}}' for name in schedules]
    if schedules:
        text = f"return [{', '.join(names)}], [{', '.join(schedules)}]"
    else:
        text = f"return {names[0]}" if len(names) == 1 else f"return [{', '.join(names)}]"
    return Hook("configure_optimizers", [New(scope, text)])


def _epochs(nest: Nest) -> dict[str, tuple[Scope, ast.expr]]:
    epochs = nest.epochs
    if epochs.endless:
        return {"max_epochs": (nest.entry, ast.UnaryOp(ast.USub(), ast.Constant(1)))}
    if epochs.end is None:
        return {"max_epochs": (nest.entry, ast.Constant(1))}
    return {"max_epochs": (epochs.scope, difference(epochs.end, epochs.first))}


def difference(end: ast.expr, first: ast.expr | None) -> ast.expr:
    """`end - first`, simplified where it is plain: `n + 1 - 1` is `n`."""
    match first, end:
        case None | ast.Constant(value=0), _:
            return end
        case ast.Constant(value=int(a)), ast.Constant(value=int(b)):
            return ast.Constant(b - a)
        case ast.Constant(value=int(a)), ast.BinOp(op=ast.Add(), right=ast.Constant(value=int(b))) if a == b:
            return end.left
        case ast.Constant(value=int(a)), ast.BinOp(op=ast.Add(), left=ast.Constant(value=int(b))) if a == b:
            return end.right
    assert first is not None
    return ast.BinOp(end, ast.Sub(), first)
