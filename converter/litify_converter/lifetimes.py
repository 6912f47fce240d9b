"""Stage 5a, lifetimes: where each name of the hooks lives (def-use over hook borders).

A name that one run of a hook binds and reads stays a local. One that flows from a hook to another, from one batch to
the next, or out of the loop, becomes an attribute. One that only the set-up binds becomes an argument of `__init__`
(a hyperparameter where it is a field of the configuration), or stays the module global it is. A name that a function
outside of the hooks shares stays global and is declared so.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from litify_converter.blocks import after_loop, shallow, statements_of
from litify_converter.devices import device_text
from litify_converter.ir import Moved, Plan, Scope, Variable
from litify_converter.loaders import trainer_texts
from litify_converter.read import Script
from litify_converter.refusals import SharedName
from litify_converter.reserved import attribute_name
from litify_converter.variables import Usage, Variables, hook_usage, item_statements
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, bound, exposed, free, parameters, read, walk

DEFINING = ("__init__", "configure_optimizers")  # hooks that run once, before training


class Home(enum.Enum):
    """Where a variable of the script lives in the result."""

    LOCAL = "local"
    ATTRIBUTE = "attribute"
    HYPERPARAMETER = "hyperparameter"
    GLOBAL = "global"
    DEVICE = "device"
    OPTIMIZER = "optimizer"  # a local, taken from self.optimizers()
    SCHEDULER = "scheduler"
    LOADER = "loader"  # the Trainer has it
    EPOCH = "epoch"  # a local, computed from self.current_epoch


@dataclass(eq=False)
class Homes:
    """The answer of this stage: texts for names, and what the class must hold."""

    variables: Variables
    home: dict[Variable, Home] = field(default_factory=dict)
    text: dict[Variable, str] = field(default_factory=dict)  # how hooks spell the variable
    parameters: dict[str, ast.expr | None] = field(
        default_factory=dict
    )  # of __init__: name -> argument in the entry
    attributes: dict[str, str] = field(default_factory=dict)  # attribute -> parameter it is set from
    buffers: set[str] = field(
        default_factory=set
    )  # attributes that hold a tensor which moves with the module
    only_built_from: set[str] = field(default_factory=set)  # parameters that nothing but __init__ reads
    given: dict[Variable, str] = field(
        default_factory=dict
    )  # optimizer made outside -> attribute that holds it
    fields: dict[Variable, list[str]] = field(
        default_factory=dict
    )  # configuration -> its fields that are read
    read_back: dict[Variable, str] = field(default_factory=dict)  # read after training -> attribute
    usages: dict[str, Usage] = field(default_factory=dict)


def find_homes(script: Script, plan: Plan) -> Homes:
    """Decide for every variable of the plan's hooks where it lives."""
    return _HomeFinder(script, plan).find()


class _HomeFinder:
    def __init__(self, script: Script, plan: Plan) -> None:
        self.script = script
        self.plan = plan
        self.nest = plan.nest
        every = [item for hook in plan.hooks.values() for item in hook.items]
        self.variables = Variables(script, every)
        self.homes = Homes(self.variables)
        self.usages = {name: hook_usage(hook, self.variables, plan) for name, hook in plan.hooks.items()}
        for name, hook in plan.hooks.items():
            if hook.function is not None:
                own = {Variable(hook.function, n) for n in parameters(hook.function)}
                self.usages[name].exposed -= own
                self.usages[name].bound |= own
        self.homes.usages = self.usages
        epochs = self.nest.epochs
        epoch = self.variables.of(epochs.target, epochs.scope) if epochs.target else None
        for found in self.usages.values():
            if (
                epoch in found.read and epochs.first is not None
            ):  # the hook computes the epoch's number from it
                first = {
                    v for n in read(epochs.first) if (v := self.variables.of(n, epochs.scope)) is not None
                }
                found.read |= first
                found.exposed |= first

    def find(self) -> Homes:
        training = {n: u for n, u in self.usages.items() if n not in DEFINING}
        self.bound_in_hooks = {v for u in training.values() for v in u.bound}
        self.flowing = {v for u in training.values() for v in u.exposed}
        self.outside = self._read_outside()
        self.after = self._read_after()
        self.set_up = self._bound_before()
        self.loaders = {} if self.plan.of_data else trainer_texts(self.script, self.plan, self.variables)
        self.gone = self._gone()
        every = {v for u in self.usages.values() for v in u.bound | u.exposed | u.read}
        order = sorted(every, key=self._rank)
        for variable in order:
            home = self._home(variable)
            self.homes.home[variable] = home
            self._settle(variable, home)
        self._rename_clashing_locals()
        self._name_indices()
        return self.homes

    def _rank(self, variable: Variable) -> tuple[bool, str, int]:
        """Whose name stays as it is where two are alike: the entry's, then that of the function written first."""
        scope = variable.scope
        return scope is not self.nest.entry, variable.name, getattr(scope, "lineno", 0)

    def _name_indices(self) -> None:
        """The batch index is the hook's own argument, where the script does not change or keep it."""
        for loop in [self.nest.batches, *self.plan.eval_loops]:
            if loop.index is None or loop.index_start is not None:
                continue
            variable = self.variables.of(loop.index, loop.scope)
            items = [
                i for h in self.plan.hooks.values() for i in h.items if variable in self.variables.bound(i)
            ]
            if variable is not None and len(items) == 1 and self.homes.home.get(variable) is Home.LOCAL:
                self.homes.text[variable] = "batch_idx"

    def role(self, variable: Variable) -> Role | None:
        return self.script.roles.of(ast.Name(variable.name, ast.Load()), variable.scope)

    # -- which home ------------------------------------------------------------------------------------------------

    def _home(self, variable: Variable) -> Home:
        role = self.role(variable)
        if variable in self.usages.get("__init__", Usage()).bound:
            return Home.ATTRIBUTE
        if role is Role.OPTIMIZER and variable in self._configured():
            return Home.OPTIMIZER
        nest = self.nest
        if variable == Variable(nest.epochs.scope, nest.epochs.target or ""):
            return Home.GLOBAL if variable in self.outside and self._is_global(variable) else Home.EPOCH
        if role is Role.OPTIMIZER and variable in self.bound_in_hooks and variable in self.plan.optimizers:
            raise SharedName(
                f"the optimizer `{variable.name}` is made anew in the loop", self._binding(variable)
            )
        if variable not in self.bound_in_hooks and variable in self.loaders:
            return Home.LOADER
        if variable not in self.bound_in_hooks:
            return self._home_of_set_up(variable, role)
        if self._is_global(variable) and variable in self.outside:
            return Home.GLOBAL
        if variable in self.flowing or variable in self.after:
            self._check_walrus(variable)
            return Home.ATTRIBUTE
        return Home.LOCAL

    def _binding(self, variable: Variable) -> ast.AST:
        """The statement in the loop that binds a variable."""
        moved = [i for h in self.plan.hooks.values() for i in h.items if isinstance(i, Moved)]
        for item in moved:
            for statement in statements_of([item.statement]):
                names = bound(shallow(statement))
                if any(self.variables.of(n, item.scope) == variable for n in names):
                    return statement
        return self.nest.outer

    def _check_walrus(self, variable: Variable) -> None:
        """`:=` can bind a name only, not an attribute."""
        for node in walk(variable.scope):
            if isinstance(node, ast.NamedExpr) and node.target.id == variable.name:
                raise SharedName(
                    f"`{variable.name} :=` binds what is needed elsewhere; give it a line of its own", node
                )

    def _home_of_set_up(self, variable: Variable, role: Role | None) -> Home:
        if role is Role.DEVICE and not self.plan.of_data:
            return Home.DEVICE
        if role is Role.OPTIMIZER:
            return Home.OPTIMIZER
        if variable in self._configured():
            elsewhere = any(variable in u.read for n, u in self.usages.items() if n not in DEFINING)
            return Home.ATTRIBUTE if elsewhere else Home.LOCAL
        if role in (Role.MODEL, Role.CRITERION):
            return Home.ATTRIBUTE
        if self._is_global(variable):
            return Home.GLOBAL
        if role is Role.CONFIG and self._fields_read(variable) is not None:
            return Home.HYPERPARAMETER
        return Home.ATTRIBUTE

    def _configured(self) -> set[Variable]:
        return self.usages.get("configure_optimizers", Usage()).bound

    def _is_global(self, variable: Variable) -> bool:
        """Whether the result still has the variable as a module global: its statements did not move."""
        return isinstance(variable.scope, ast.Module) and variable not in self.gone

    def _gone(self) -> set[Variable]:
        entry = self.nest.entry
        if not isinstance(entry, ast.Module):
            return set()
        names = {n for s in self.plan.moved_setup | self.plan.wrapped for n in bound(s)}
        return {v for n in names if (v := self.variables.of(n, entry)) is not None}

    def _fields_read(self, variable: Variable) -> list[str] | None:
        """The fields `args.x` that hooks read, or None where `args` itself is passed on or changed."""
        fields: list[str] = []
        for hook in self.plan.hooks.values():
            for item in hook.items:
                for scope, statements in item_statements(item, self.variables, self.plan):
                    found = _fields(statements, scope, variable, self.variables)
                    if found is None:
                        return None
                    fields += [f for f in found if f not in fields]
        epochs = self.nest.epochs
        if epochs.first is not None and not self.plan.of_data:  # hooks count the epoch from it
            fields += _fields([ast.Expr(epochs.first)], epochs.scope, variable, self.variables) or []
        for constant in self.variables.constant.values():
            found = _fields([ast.Expr(constant.value)], constant.value_scope, variable, self.variables)
            if found is None:
                return None
            fields += [f for f in found if f not in fields]
        return fields

    # -- what it means ---------------------------------------------------------------------------------------------

    def _settle(self, variable: Variable, home: Home) -> None:
        homes = self.homes
        name = variable.name
        match home:
            case Home.OPTIMIZER if variable not in self._configured() and not self._is_global(variable):
                homes.text[variable] = name
                homes.given[variable] = f"self.{attribute_name(name)}"
                homes.parameters[name] = ast.Name(name, ast.Load())
                homes.attributes[attribute_name(name)] = name
            case Home.LOADER:
                homes.text[variable] = self.loaders[variable]
            case Home.DEVICE:
                homes.text[variable] = device_text(variable, self.plan, self.variables)
            case Home.HYPERPARAMETER:
                homes.fields[variable] = self._fields_read(variable) or []
                for one in homes.fields[variable]:
                    value = ast.Attribute(ast.Name(name, ast.Load()), one, ast.Load())
                    homes.parameters[one] = value
            case Home.ATTRIBUTE if self.plan.owner is not None and variable == self.plan.owner.self_name:
                self._settle_owner(variable)
            case Home.ATTRIBUTE if self._is_only_built_from(variable):
                homes.text[variable] = name
                homes.parameters[name] = ast.Name(name, ast.Load())
                homes.only_built_from.add(name)
            case Home.ATTRIBUTE:
                attribute = self._free_attribute(attribute_name(name), variable)
                homes.text[variable] = f"self.{attribute}"
                in_init = (
                    variable in self.usages.get("__init__", Usage()).bound or variable in self._configured()
                )
                if not in_init and variable in self.set_up:
                    homes.parameters[name] = ast.Name(name, ast.Load())
                    homes.attributes[attribute] = name
                if variable in self.after and variable in self.bound_in_hooks:
                    homes.read_back[variable] = attribute
            case _:
                homes.text[variable] = name

    def _is_only_built_from(self, variable: Variable) -> bool:
        """Whether `__init__` reads what the set-up made, and no other hook has to do with it."""
        init = self.usages.get("__init__", Usage())
        others = [u for n, u in self.usages.items() if n != "__init__"]
        return (
            variable in self.set_up
            and variable in init.read
            and variable not in init.bound
            and not any(variable in u.read | u.bound | u.exposed for u in others)
        )

    def _settle_owner(self, variable: Variable) -> None:
        """The instance whose method holds the loop: an argument, with its networks registered beside it."""
        owner = self.plan.owner
        assert owner is not None
        homes = self.homes
        homes.text[variable] = f"self.{owner.name}"
        homes.parameters[owner.name] = ast.Name(variable.name, ast.Load())
        homes.attributes[owner.name] = owner.name
        for module in owner.modules:
            attribute = attribute_name(module)
            homes.attributes[attribute if attribute != owner.name else f"{attribute}_"] = (
                f"{owner.name}.{module}"
            )

    def _free_attribute(self, attribute: str, variable: Variable) -> str:
        taken = {text for v, text in self.homes.text.items() if v != variable}
        taken |= {f"self.{name}" for name in self.plan.methods.values()}
        while f"self.{attribute}" in taken:
            attribute += "_"
        return attribute

    def _rename_clashing_locals(self) -> None:
        """Two functions' locals of one name that meet in one hook: the inner one takes its function's name too."""
        for hook in self.usages.values():
            seen: dict[str, Variable] = {}
            for variable in sorted(hook.bound | hook.read, key=self._rank):
                text = self.homes.text.get(variable)
                if text is None:
                    continue
                other = seen.setdefault(text, variable)
                if other != variable and isinstance(variable.scope, Function):
                    self.homes.text[variable] = f"{variable.scope.name}_{variable.name}"

    # -- the rest of the script ------------------------------------------------------------------------------------

    def _read_after(self) -> set[Variable]:
        """Variables that what follows the loop reads before it binds them anew."""
        entry = self.nest.entry
        after = [s for s in after_loop(entry.body, self.nest.outer) if s not in self.plan.dropped]
        found = {v for n in exposed(after) if (v := self.variables.of(n, entry)) is not None}
        return found | self._read_again() if self.nest.repeated else found

    def _read_again(self) -> set[Variable]:
        """Globals that functions change in training, and that it finds changed when it runs the next time.

        What the entry itself changes shows in what it reads after the loop.

        Raises:
            SharedName: the entry is a function that does not set the global itself.
        """
        entry = self.nest.entry
        shared = {
            v
            for hook in self.plan.hooks.values()
            for item in hook.items
            if isinstance(item, Moved) and item.scope is not self.script.tree
            for v in self.variables.bound(item)
            if isinstance(v.scope, ast.Module) and v in self.flowing
        }
        for variable in sorted(shared, key=lambda v: v.name):
            if isinstance(entry, Function) and variable not in self.outside:
                raise SharedName(f"`{variable.name}` goes on from one training to the next", self.nest.outer)
        return set() if isinstance(entry, Function) else shared

    def _read_outside(self) -> set[Variable]:
        """Variables that functions which stay outside of the hooks read or write."""
        gone = {id(f) for f in self.plan.absorbed}
        found: set[Variable] = set()
        for function in [*self.script.roles.functions.values(), *self.script.roles.owner]:
            if id(function) not in gone:
                outer = self.script.roles.outer[function]
                scope = outer if isinstance(outer, ast.Module | Function) else self.script.tree
                found |= {v for n in free(function) if (v := self.variables.of(n, scope)) is not None}
        return found

    def _bound_before(self) -> set[Variable]:
        """Variables that the set-up binds: parameters of the entry, and what stands before the loop."""
        entry, outer = self.nest.entry, self.nest.outer
        names = set() if isinstance(entry, ast.Module) else set(parameters(entry))
        for statement in statements_of(entry.body):
            if statement.lineno < outer.lineno and statement not in self.plan.moved_setup:
                names |= bound(shallow(statement))
        found = {v for n in names if (v := self.variables.of(n, entry)) is not None}
        if not isinstance(entry, ast.Module):
            module = [s for s in self.script.tree.body if not isinstance(s, Function | ast.ClassDef)]
            found |= {v for n in bound(module) if (v := self.variables.of(n, self.script.tree)) is not None}
        return found


def _fields(
    statements: Iterable[ast.AST], scope: Scope, variable: Variable, variables: Variables
) -> list[str] | None:
    fields: list[str] = []
    parents: list[ast.AST] = list(statements)
    while parents:
        node = parents.pop()
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if variables.of(node.value.id, scope) == variable:
                if not isinstance(node.ctx, ast.Load):
                    return None
                fields.append(node.attr)
            continue
        if isinstance(node, ast.Name) and variables.of(node.id, scope) == variable:
            return None
        parents.extend(ast.iter_child_nodes(node))
    return fields[::-1]
