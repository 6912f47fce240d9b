"""Set-up that only served the removed code goes; what is left of a module-level script becomes main()."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from litify_converter.blocks import is_guard, statements_of
from litify_converter.effects import only_looks
from litify_converter.idioms.base import Idiom, Unproven, hook_items
from litify_converter.ir import Note, Plan, Scope, Variable
from litify_converter.read import Script
from litify_converter.variables import Variables, hook_usage
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, bound, free, read, walk_scope

ENGINEERING = (Role.DEVICE, Role.HAS_GPU)
# Calls that a dead statement may make: asking what hardware there is.
ASKING = ("torch.cuda.", "torch.backends.", "torch.accelerator.", "torch.device", "torch.xpu.")


class DeadSetup(Idiom):
    """`device = ...` and `use_cuda = ...` that nothing reads any more."""

    name = "dead-setup"

    def apply(self, script: Script, plan: Plan) -> bool:
        entry, outer = plan.nest.entry, plan.nest.outer
        done = False
        while True:
            gone = plan.moved_setup | set(plan.dropped)
            top = [s for s in entry.body if s.lineno < outer.lineno and s not in gone]
            dead = [s for s in top if is_hardware(script, s, plan) and not _is_read(script, plan, s)]
            unread = [s for s in top if _was_for_loop(script, s, plan) and not _is_read(script, plan, s)]
            if not dead and not unread:
                return done
            for statement in dead:
                keep_option(script, plan, statement)
                plan.dropped[statement] = "the Trainer chooses the device"
                plan.notes.append(
                    Note("engineering", statement.lineno, "the Trainer chooses the device (--accelerator)")
                )
            for statement in unread:
                plan.dropped[statement] = "only the removed code read it"
            plan.moved_setup |= {*dead, *unread}
            done = True


def keep_option(script: Script, plan: Plan, statement: ast.stmt) -> bool:
    """An option such as `--no-cuda` goes on working: it becomes the Trainer's accelerator."""
    entry = plan.nest.entry
    sources: list[ast.AST] = [statement, *_definitions(script, plan, statement)]
    for node in (n for source in sources for n in ast.walk(source)):
        parts = node.values if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And) else []
        if isinstance(node, ast.If | ast.IfExp):
            parts = [node.test]
        for part in parts:
            negated = isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.Not)
            option = part.operand if isinstance(part, ast.UnaryOp) else part
            if isinstance(option, ast.Attribute) and script.roles.of(option.value, entry) is Role.CONFIG:
                yes, no = ast.Constant("cpu"), ast.Constant("auto")
                choice = ast.IfExp(option, yes if negated else no, no if negated else yes)
                plan.trainer["accelerator"] = (entry, choice)
                return True
    return False


def _definitions(script: Script, plan: Plan, statement: ast.stmt) -> list[ast.stmt]:
    """Where the truth values that a statement tests (`use_cuda`) were found out."""
    entry = plan.nest.entry
    tested = {n for n in read(statement) if script.roles.of(ast.Name(n, ast.Load()), entry) is Role.HAS_GPU}
    return [s for s in entry.body if isinstance(s, ast.Assign) and bound(s) & tested]


def _was_for_loop(script: Script, statement: ast.stmt, plan: Plan) -> bool:
    """`total_step = len(train_loader)`: a plain value that the loop read."""
    entry = plan.nest.entry
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if only_looks(statement, script, entry):
            if any(isinstance(n, ast.Call) and dotted(n.func) != "len" for n in ast.walk(value)):
                return False
            return any(isinstance(n, ast.Name) and n.id == name for n in _loop_nodes(plan))
    return False


def _loop_nodes(plan: Plan) -> Iterator[ast.AST]:
    yield from ast.walk(plan.nest.outer)
    for function in plan.absorbed:
        yield from ast.walk(function)


def is_hardware(script: Script, statement: ast.stmt, plan: Plan) -> bool:
    """A statement that does nothing but find out about, name or print the device."""
    entry = plan.nest.entry
    match statement:
        case ast.Assign(targets=[ast.Name() as target], value=value):
            return script.roles.of(target, entry) in ENGINEERING and _only_asks(script, value, entry)
        case ast.If():
            inner = [*statement.body, *statement.orelse]
            return _only_asks(script, statement.test, entry) and all(
                is_hardware(script, s, plan) for s in inner
            )
        case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=args)):
            names = {n for a in args for n in read(a)}
            roles = {script.roles.of(ast.Name(n, ast.Load()), entry) for n in names}
            return bool(names) and roles <= set(ENGINEERING)
    return False


def _only_asks(script: Script, value: ast.AST, scope: Scope) -> bool:
    """Whether all calls ask what hardware there is, those of functions of the script followed."""
    for node in ast.walk(value):
        if isinstance(node, ast.Call) and not _asks(script, node):
            function = script.roles.callee(node, scope)
            if function is None or function in script.roles.owner:
                return False
            if any(isinstance(n, ast.Global | ast.Yield | ast.Raise) for n in walk_scope(function.body)):
                return False
            called = [n for n in walk_scope(function.body) if isinstance(n, ast.Call)]
            if not all(_asks(script, n) for n in called):
                return False
    return True


def _asks(script: Script, call: ast.Call) -> bool:
    """`torch.cuda.is_available()`, and `hasattr(torch.backends, "mps")` before it."""
    match call:
        case ast.Call(func=ast.Name(id="hasattr" | "getattr"), args=[of, *_]):
            return f"{script.imports.resolve(of)}.".startswith(("torch.", *ASKING))
    return (script.imports.resolve(call.func) or "").startswith(ASKING)


def _is_read(script: Script, plan: Plan, statement: ast.stmt) -> bool:
    """Whether anything that stays reads what a statement binds."""
    entry, names = plan.nest.entry, bound(statement)
    if isinstance(
        statement, ast.Expr
    ):  # a print of the device: needed as long as the device is used elsewhere
        names = read(statement)
        names = {n for n in names if script.roles.of(ast.Name(n, ast.Load()), entry) in ENGINEERING}
        return any(_read_by_others(script, plan, n, statement) for n in names)
    return any(_read_by_others(script, plan, n, statement) for n in names)


def _read_by_others(script: Script, plan: Plan, name: str, statement: ast.stmt) -> bool:
    entry, outer = plan.nest.entry, plan.nest.outer
    role = script.roles.of(ast.Name(name, ast.Load()), entry)
    for other in statements_of(entry.body):
        inside = outer.lineno <= other.lineno <= (outer.end_lineno or 0)
        own = statement.lineno <= other.lineno <= (statement.end_lineno or 0)
        if inside or own or other in plan.moved_setup:
            continue
        if name in read(_shallow(other)) and not is_hardware(script, other, plan):
            return True
        if name in read(_shallow(other)) and not isinstance(other, ast.Expr):
            return True
    variables = Variables(script, [i for _, i in hook_items(plan)])
    for scope, expression in plan.trainer.values():
        if Variable(entry, name) in variables.read(read(expression), scope):
            return True
    first = plan.nest.epochs.first
    if first is not None and name in read(first):
        return True
    if Variable(entry, name) in _given_to_fit(script, plan):
        return True
    for function in [*script.roles.functions.values(), *script.roles.owner]:
        if function not in plan.absorbed and function is not entry and name in free(function):
            return True
    if role is Role.DEVICE:
        return False  # hooks say self.device
    return Variable(entry, name) in hook_reads(script, plan)


def _given_to_fit(script: Script, plan: Plan) -> set[Variable]:
    """What the loaders that fit() is given are made of, seen through the parameters of functions that are written out."""
    variables = Variables(script, [i for _, i in hook_items(plan)])
    batches = plan.nest.batches
    sources = [(batches.scope, batches.source)] if batches.source is not None else []
    sources += [plan.val_source] if plan.val_source is not None else []
    return {v for scope, source in sources for v in variables.read(read(source), scope)}


def hook_reads(script: Script, plan: Plan) -> set[Variable]:
    """Variables of the script that any hook reads."""
    variables = Variables(script, [i for _, i in hook_items(plan)])
    return {v for hook in plan.hooks.values() for v in hook_usage(hook, variables, plan).read}


def _shallow(statement: ast.stmt) -> list[ast.AST]:
    if isinstance(statement, Function | ast.ClassDef):
        return []
    if not isinstance(getattr(statement, "body", None), list):
        return [statement]
    return [n for n in ast.iter_child_nodes(statement) if not isinstance(n, ast.stmt | ast.ExceptHandler)]


class MainFunction(Idiom):
    """Statements of the module's top level go into `main()`, where no function needs their names as globals."""

    name = "main-function"

    def apply(self, script: Script, plan: Plan) -> bool:
        tree = script.tree
        if plan.nest.entry is not tree:
            return False
        if "main" in script.roles.functions or "main" in bound(tree.body):
            raise Unproven("the name main is taken", plan.nest.outer)
        wrapped = [s for s in tree.body if not self._stays(script, s)]
        self._check_imports(tree, wrapped)
        names = {n for s in wrapped for n in bound(_with_guard_open(s))}
        self._check_order(tree, names, wrapped)
        for statement in tree.body:
            if statement in wrapped or statement in plan.absorbed:
                continue
            shared = read([statement]) & names
            if shared:
                raise Unproven(f"`{min(shared)}` is read as a global", statement)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and dotted(node.func) in ("globals", "locals", "exec", "eval"):
                raise Unproven("the script looks into its own namespace", node)
        plan.wrapped = set(wrapped)
        return True

    def _check_order(self, tree: ast.Module, names: set[str], wrapped: list[ast.stmt]) -> None:
        """In main() every definition comes before all other statements, and what main() binds is its own from the start."""
        seen: set[str] = set()
        for statement in tree.body:
            if statement not in wrapped and not isinstance(statement, ast.Import | ast.ImportFrom):
                again = bound([statement]) & (names | seen)
                if again:
                    raise Unproven(f"`{min(again)}` is defined more than once", statement)
                seen |= bound([statement])

    def _stays(self, script: Script, statement: ast.stmt) -> bool:
        if isinstance(statement, Function | ast.ClassDef | ast.Import | ast.ImportFrom):
            return True
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            return True  # the docstring
        return is_constant(script.tree, statement)

    def _check_imports(self, tree: ast.Module, wrapped: list[ast.stmt]) -> None:
        imports = [s.lineno for s in tree.body if isinstance(s, ast.Import | ast.ImportFrom)]
        for statement in wrapped:
            early = imports and statement.lineno < max(imports)
            if early and not _is_seed(statement):
                raise Unproven("a statement stands between the imports", statement)


def _is_seed(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and "seed" in ast.dump(statement)


def is_constant(tree: ast.Module, statement: ast.stmt) -> bool:
    """`BATCH_SIZE = 64`: a literal bound once, to a plain name."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_literal(value):
            bindings = [s for s in statements_of(tree.body) if name in bound(s) and not _holds_blocks(s)]
            changed = any(isinstance(n, ast.Global) and name in n.names for n in ast.walk(tree))
            loops = any(isinstance(n, ast.For) and name in bound(n.target) for n in walk_scope(tree.body))
            return bindings == [statement] and not changed and not loops
    return False


def _holds_blocks(statement: ast.stmt) -> bool:
    return isinstance(getattr(statement, "body", None), list) and not isinstance(
        statement, Function | ast.ClassDef
    )


def _is_literal(value: ast.expr) -> bool:
    match value:
        case ast.Constant():
            return True
        case ast.UnaryOp(operand=inner):
            return _is_literal(inner)
        case ast.BinOp(left=left, right=right):
            return _is_literal(left) and _is_literal(right)
        case ast.Tuple(elts=elements):
            return all(_is_literal(e) for e in elements)
    return False


def _with_guard_open(statement: ast.stmt) -> list[ast.stmt]:
    return statement.body if is_guard(statement) else [statement]  # type: ignore[attr-defined]
