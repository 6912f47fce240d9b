"""The model is built in `__init__`, its optimizer and scheduler in configure_optimizers."""

from __future__ import annotations

import ast

from litify_converter.blocks import around_loop, statements_of
from litify_converter.effects import draws_random
from litify_converter.idioms.base import Idiom, Unproven, hook_items
from litify_converter.ir import Hook, Item, Moved, New, Plan, Scope, Variable
from litify_converter.lifetimes import Home, find_homes
from litify_converter.read import Script
from litify_converter.rewrite import is_device_move
from litify_converter.variables import Variables
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role, constructed_role
from litify_linter.reading.scopes import Function, bound, free, read, walk_scope

# Packages whose classes draw no random numbers when they are made, networks left out.
DRAWING_NOTHING = {
    "", "torch", "torchvision", "numpy", "argparse", "collections", "datetime", "pathlib", "types", "PIL", "tqdm",
    "torch_geometric", "sklearn", "logging", "functools", "tensorboardX", "enum", "rich",
}  # fmt: skip


class BuildInModule(Idiom):
    """`model = Net()`, `criterion = ...`, `optimizer = Adam(model.parameters())` move into the LightningModule."""

    name = "build-in-module"

    def apply(self, script: Script, plan: Plan) -> bool:
        entry = plan.nest.entry
        makers = _Makers(script, plan)
        models = makers.of_role(Role.MODEL)
        own = {hook.function for hook in plan.hooks.values()}  # whose parameters may be networks
        used = {v for v in makers.used_in_hooks() if makers.role(v) is Role.MODEL and v.scope not in own}
        if "on_train_start" in plan.hooks:
            raise Unproven("the optimizer is inside an object that stays where it is made", plan.nest.outer)
        optimizers = {v: makers.single(v) for v in plan.optimizers}
        models = {
            v: s
            for v, s in models.items()
            if v in used or _is_optimized(v, optimizers.values(), entry, makers)
        }
        if not models or used - set(models):
            raise Unproven("a model is not made by one plain statement of the set-up", plan.nest.outer)
        criteria = {v: s for v, s in makers.of_role(Role.CRITERION).items() if v in makers.used_in_hooks()}
        schedulers = {v: makers.single(v) for v in plan.schedulers}
        models, criteria = makers.without_device(models), makers.without_device(criteria)
        if not models:
            raise Unproven("a model is not made by one plain statement of the set-up", plan.nest.outer)
        makers.check_private({**models, **criteria, **optimizers, **schedulers})
        makers.check_order(list(models.values()))
        drops = makers.device_moves(set(models) | set(criteria))
        plan.hooks["__init__"] = Hook("__init__", _moved(entry, {**models, **criteria}))
        hook = plan.hooks.pop("configure_optimizers")  # to the end
        hook.items[:0] = _moved(entry, {**optimizers, **schedulers})
        plan.hooks[hook.name] = hook
        plan.moved_setup |= {*criteria.values(), *optimizers.values(), *schedulers.values()}
        plan.moved_setup |= set(models.values())
        plan.moved_setup |= set(drops)
        plan.dropped |= dict.fromkeys(drops, "the Trainer moves the model to its device")
        makers.check_arguments(plan, min(s.lineno for s in models.values()))
        return True


def _moved(scope: Scope, made: dict[Variable, ast.stmt]) -> list[Item]:
    return [Moved(scope, s) for s in sorted(set(made.values()), key=lambda s: s.lineno)]


def _is_optimized(variable: Variable, optimizers: object, entry: Scope, makers: _Makers) -> bool:
    return any(
        variable.name in read(s) for s in optimizers if isinstance(s, ast.stmt)  # type: ignore[attr-defined]
    )


class _Makers:
    """The set-up statements that make something, seen from the entry."""

    def __init__(self, script: Script, plan: Plan) -> None:
        self.script = script
        self.plan = plan
        self.entry = plan.nest.entry
        self.variables = Variables(script, [i for _, i in hook_items(plan)])
        body = self.entry.body
        self.top = [s for s in around_loop(body, plan.nest.outer) if s.lineno < plan.nest.outer.lineno]

    def role(self, variable: Variable) -> Role | None:
        return self.script.roles.of(ast.Name(variable.name, ast.Load()), variable.scope)

    def used_in_hooks(self) -> set[Variable]:
        found: set[Variable] = set()
        for name, item in hook_items(self.plan):
            if name == "configure_optimizers":
                continue
            match item:
                case Moved(scope, statement):
                    names, where = read(statement), scope
                case New(scope, text):
                    names, where = read(ast.parse(text).body), scope
                case _:
                    names, where = read(item.value), item.value_scope
            found |= {v for n in names if (v := self.variables.of(n, where)) is not None}
        return found

    def of_role(self, role: Role) -> dict[Variable, ast.stmt]:
        """Variables of a role that one plain statement of the entry makes, in order."""
        made: dict[Variable, ast.stmt] = {}
        for statement in self.top:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call()) if not self._moves(
                    statement, {name}
                ):
                    variable = Variable(self.entry, name)
                    # A network of another file has its role from its use.
                    roles = (role, None) if role is Role.MODEL else (role,)
                    if (
                        self.role(variable) is role
                        and self.script.roles.of(statement.value, self.entry) in roles
                    ):
                        made[variable] = statement
        return {v: s for v, s in made.items() if self._bindings(v) == [s]}

    def _bindings(self, variable: Variable) -> list[ast.stmt]:
        """All statements of the entry that bind a variable itself, `model = model.to(device)` left out."""
        moves = set(self._all_moves(self.top, variable.name))
        return [
            s
            for s in statements_of(self.entry.body)
            if variable.name in bound(s) and not isinstance(getattr(s, "body", None), list) and s not in moves
        ]

    def single(self, variable: Variable) -> ast.stmt:
        """The one plain statement that makes a variable.

        Raises:
            Unproven: it is made in another scope, in a branch, or more than once.
        """
        bindings = self._bindings(variable) if variable.scope is self.entry else []
        if len(bindings) != 1 or bindings[0] not in self.top or not isinstance(bindings[0], ast.Assign):
            raise Unproven(
                f"{variable.name} is not made by one plain statement of the set-up", self.plan.nest.outer
            )
        if not isinstance(bindings[0].targets[0], ast.Name) or len(bindings[0].targets) != 1:
            raise Unproven(f"{variable.name} is made together with something else", bindings[0])
        return bindings[0]

    def check_private(self, made: dict[Variable, ast.stmt]) -> None:
        """Nobody else needs these variables where they would no longer be."""
        names = {v.name for v in made}
        absorbed = set(self.plan.absorbed)
        for function in [*self.script.roles.functions.values(), *self.script.roles.owner]:
            outer = self.script.roles.outer[function]
            sees = isinstance(self.entry, ast.Module) or outer is self.entry
            if function not in absorbed and sees and (shared := free(function) & names):
                raise Unproven(f"{function.name}() reads `{min(shared)}` from outside", function)
        models = {v.name for v, s in made.items() if self.role(v) in (Role.MODEL, Role.CRITERION)}
        for statement in statements_of(self.entry.body):
            if statement in made.values() or not isinstance(statement, ast.stmt):
                continue
            if self.plan.nest.outer.lineno <= statement.lineno <= (self.plan.nest.outer.end_lineno or 0):
                continue
            shared = read(_own(statement)) & (names - models)
            if shared and statement.lineno < self.plan.nest.outer.lineno:
                raise Unproven(f"`{min(shared)}` is used before training", statement)
            if shared:
                raise Unproven(f"`{min(shared)}` is used after training", statement)

    def check_order(self, models: list[ast.stmt]) -> None:
        """Between the first and the last model nothing else happens that the models' first weights depend on."""
        first, last = self.top.index(models[0]), self.top.index(models[-1])
        for statement in self.top[first : last + 1]:
            if statement in models:
                continue
            for node in walk_scope(statement):
                if isinstance(node, ast.Call) and not self._harmless(node):
                    raise Unproven("something happens between the construction of the models", statement)

    def check_arguments(self, plan: Plan, line: int) -> None:
        """What `__init__` takes must exist where the instance is made: where the first model was made, or at the end."""
        homes = find_homes(self.script, plan)
        early = homes.usages["__init__"].exposed | homes.usages["configure_optimizers"].exposed
        if any(homes.home[v] is Home.LOADER for v in early):
            raise Unproven("model, optimizer or schedule are made from a loader", self.plan.nest.outer)
        wanted = {
            n for v in find_homes(self.script, plan).parameters.values() if v is not None for n in read(v)
        }
        late = {n for s in self.top if s.lineno > line and s not in plan.moved_setup for n in bound(s)}
        if not wanted & late:
            return
        names = {v.name for v in find_homes(self.script, plan).usages["__init__"].bound}
        self._take_initialization(plan, names, line)
        for statement in self.top:
            gone = statement in plan.moved_setup or statement in plan.absorbed
            if statement.lineno > line and not gone:
                if names & read([statement]):
                    raise Unproven(
                        "the model is used before everything that its module needs exists", statement
                    )
                if draws_random(statement, self.script, self.entry) or self._makes_weights(statement):
                    raise Unproven("random numbers are drawn after the model is made", statement)
        plan.instance_last = True

    def _take_initialization(self, plan: Plan, names: set[str], line: int) -> None:
        """`model.apply(init_weights)` follows the model into `__init__`, where it is all the set-up does with it."""
        behind = [s for s in self.top if s.lineno > line and s not in plan.moved_setup]
        using = [s for s in behind if names & read([s]) and s not in plan.absorbed]
        for statement in using:
            later = {n for s in behind if s.lineno > statement.lineno for n in bound(s)}
            told = self._names_device(statement) or later & read([statement])
            if told or not self._initializes(statement, names):
                return
        items = [*plan.hooks["__init__"].items, *(Moved(self.entry, s) for s in using)]
        items.sort(key=lambda item: item.statement.lineno if isinstance(item, Moved) else 0)
        plan.hooks["__init__"].items = items
        plan.moved_setup |= set(using)

    def _initializes(self, statement: ast.stmt, names: set[str]) -> bool:
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
                return name in names
            case ast.Expr(value=ast.Call(func=ast.Name(id=name), args=[ast.Name(id=first), *_])):
                return first in names and name in self.script.roles.functions
            case ast.If(test=test, body=body, orelse=orelse):
                return not names & read(test) and all(self._initializes(s, names) for s in [*body, *orelse])
        return False

    def _makes_weights(self, statement: ast.stmt) -> bool:
        """Whether a network, or an object of a class that is not known here, is made: its first weights are drawn."""
        for node in walk_scope(statement):
            if not isinstance(node, ast.Call):
                continue
            name = self.script.imports.resolve(node.func) or dotted(node.func) or ""  # `from models import *`
            if constructed_role(name) is Role.MODEL:
                return True
            unknown = name.partition(".")[0] not in DRAWING_NOTHING
            if (
                unknown
                and name.rpartition(".")[2][:1].isupper()
                and self.script.roles.of(node, self.entry) is None
            ):
                return True
        return False

    def _harmless(self, call: ast.Call) -> bool:
        role = self.script.roles.of(call, self.entry)
        return role in (
            Role.OPTIMIZER,
            Role.CRITERION,
            Role.SCHEDULER,
            Role.MODEL,
            Role.DEVICE,
            Role.HAS_GPU,
        ) or (isinstance(call.func, ast.Attribute) and call.func.attr == "parameters")

    def without_device(self, made: dict[Variable, ast.stmt]) -> dict[Variable, ast.stmt]:
        """What can be made in `__init__`, where the module has no device yet: `Net(device=device)` stays in the set-up.

        Raises:
            Unproven: a network that is trained has to stay.
        """
        stay = {v for v, s in made.items() if self._names_device(s)}
        optimizers = [s for v in self.plan.optimizers for s in self._bindings(v)]
        trained = [made[v] for v in stay if _is_optimized(v, optimizers, self.entry, self)]
        if trained:
            raise Unproven("the model is told its device when it is made", trained[0])
        return {v: s for v, s in made.items() if v not in stay}

    def _names_device(self, statement: ast.stmt) -> bool:
        roles = self.script.roles
        moves = [
            c for c in ast.walk(statement) if isinstance(c, ast.Call) and is_device_move(c, roles, self.entry)
        ]
        moved = {id(n) for c in moves for a in [*c.args, *c.keywords] for n in ast.walk(a)}
        return any(
            isinstance(n, ast.Name | ast.Attribute)
            and id(n) not in moved
            and roles.of(n, self.entry) is Role.DEVICE
            for n in ast.walk(statement)
        )

    def device_moves(self, variables: set[Variable]) -> list[ast.stmt]:
        """`model.cuda()` and `model = model.to(device)`, and `if cuda: model.cuda()` around nothing else."""
        return [s for s in self.top if self._moves(s, {v.name for v in variables})]

    def _all_moves(self, body: list[ast.stmt], name: str) -> list[ast.stmt]:
        """`model = model.cuda()` wherever it stands, in `if cuda:` too."""
        found = []
        for statement in body:
            if (
                isinstance(statement, ast.If)
                and self.script.roles.of(statement.test, self.entry) is Role.HAS_GPU
            ):
                found += self._all_moves(statement.body, name)
            elif self._moves(statement, {name}):
                found.append(statement)
        return found

    def _moves(self, statement: ast.stmt, names: set[str]) -> bool:
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name))) as call):
                return name in names and is_device_move(call, self.script.roles, self.entry)
            case ast.Assign(
                targets=[ast.Name(id=target)],
                value=ast.Call(func=ast.Attribute(value=ast.Name(id=name))) as call,
            ):
                return target == name in names and is_device_move(call, self.script.roles, self.entry)
            case ast.If(orelse=[]):
                gpu = self.script.roles.of(statement.test, self.entry) is Role.HAS_GPU
                return gpu and all(self._moves(s, names) for s in statement.body)
        return False


def _own(statement: ast.stmt) -> list[ast.AST]:
    if not isinstance(getattr(statement, "body", None), list):
        return [statement]
    if isinstance(statement, Function | ast.ClassDef):
        return []
    return [n for n in ast.iter_child_nodes(statement) if not isinstance(n, ast.stmt | ast.ExceptHandler)]
