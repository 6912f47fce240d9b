"""Data sets and loaders of the set-up become a LightningDataModule."""

from __future__ import annotations

import ast
import re

from litify_converter.blocks import statements_of
from litify_converter.effects import draws_random
from litify_converter.idioms.base import Idiom, Unproven, hook_items
from litify_converter.idioms.setup import is_constant
from litify_converter.ir import Hook, Moved, New, Plan, Variable
from litify_converter.loaders import trainer_texts
from litify_converter.read import Script
from litify_converter.variables import Variables, usage
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, bound, free, read, walk_scope

# What a data module may not hold: statements that read or make these stay where they are.
FOREIGN = (
    Role.MODEL,
    Role.CRITERION,
    Role.OPTIMIZER,
    Role.SCHEDULER,
    Role.PARSER,
    Role.CONFIG,
    Role.DEVICE,
    Role.WRITER,
)


class DataModule(Idiom):
    """The loaders given to fit, and every statement that only they need."""

    name = "data-module"

    def apply(self, script: Script, plan: Plan) -> bool:
        if "train_dataloader" in plan.hooks:
            return False  # of the LightningModule: each epoch starts there
        if "__init__" not in plan.hooks:
            return False  # the set-up keeps the model too: nothing is gained by moving half of it
        loaders = _loaders(script, plan)
        if loaders is None:
            return False
        cut = _Slice(script, plan, list(loaders.values()))
        statements = cut.statements()
        if any(draws_random(s, script, plan.nest.entry) for s in statements):
            raise Unproven(
                "making the data draws random numbers, so it stays before the model", statements[0]
            )
        makers = list(loaders.values())
        setup = [Moved(plan.nest.entry, s) for s in statements if s not in makers]
        downloads = [New(plan.nest.entry, ast.unparse(d)) for s in statements for d in _downloads(s)]
        plan.data_hooks = {"prepare_data": Hook("prepare_data", list(downloads))} if downloads else {}
        if setup:
            plan.data_hooks["setup"] = Hook("setup", list(setup), ("stage",))
        for name, statement in loaders.items():
            value = ast.get_source_segment(script.text, statement.value)
            assert value is not None
            value = _marked(value) if name == "val_dataloader" else value
            plan.data_hooks[name] = Hook(name, [New(plan.nest.entry, f"return {value}", statement)])
        plan.moved_setup |= set(statements)
        plan.wrapped -= set(statements)
        plan.data_class = self._class_name(script, plan, statements)
        plan.data_name = _instance_name(script, plan)
        plan.imports.add("LightningDataModule")
        return True

    def _class_name(self, script: Script, plan: Plan, statements: list[ast.stmt]) -> str:
        base = plan.class_name.removeprefix("Lit")
        if base[0].isdigit():  # of `01_train.py`
            base = plan.class_name
        for node in walk_scope(statements):
            if isinstance(node, ast.Call) and script.roles.of(node, plan.nest.entry) is Role.DATASET:
                name = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", base)
                )
                if name not in ("TensorDataset", "Subset", "ConcatDataset", "random_split", "ImageFolder"):
                    base = name.removesuffix("Dataset") or base
                    break
        name = f"{base[:1].upper()}{base[1:]}Data"
        while name in script.roles.classes:
            name += "Module"
        return name


def _marked(loader: str) -> str:
    """A loader for validation that shuffles goes on shuffling, since it draws from the random numbers of training."""
    return re.sub(
        r"\bshuffle\s*=\s*True\b\s*,?",
        "shuffle=True,  # noqa: LIT503 (it draws from the random numbers of training)\n",
        loader,
    )


def _downloads(statement: ast.stmt) -> list[ast.Call]:
    """The calls that download, without what they do to the data afterwards."""
    found = []
    for node in walk_scope(statement):
        if isinstance(node, ast.Call) and any(_is_download(k) for k in node.keywords):
            keywords = [
                k for k in node.keywords if k.arg not in ("transform", "target_transform", "transforms")
            ]
            found.append(ast.Call(node.func, node.args, keywords))
    return found


def _is_download(keyword: ast.keyword) -> bool:
    return (
        keyword.arg == "download" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
    )


def _loaders(script: Script, plan: Plan) -> dict[str, ast.Assign] | None:
    """`train_dataloader` and `val_dataloader` -> the statement that makes the loader; None where there is no loader."""
    variables = Variables(script, [i for _, i in hook_items(plan)])
    batches = plan.nest.batches
    sources = {"train_dataloader": (batches.scope, batches.source)}
    if plan.val_source is not None:
        sources["val_dataloader"] = plan.val_source
    found: dict[str, ast.Assign] = {}
    for name, (scope, source) in sources.items():
        if not isinstance(source, ast.Name):
            return None
        variable = variables.of(source.id, scope)
        if variable is None or variable.scope is not plan.nest.entry:
            return None
        if script.roles.of(ast.Name(variable.name, ast.Load()), variable.scope) is not Role.LOADER:
            return None
        found[name] = _maker(plan, variable)
    if len(set(found.values())) != len(found):
        raise Unproven("two loaders are made by one statement", plan.nest.outer)
    return found


def _maker(plan: Plan, variable: Variable) -> ast.Assign:
    makers = [
        s
        for s in statements_of(variable.scope.body)
        if variable.name in bound(s) and not isinstance(getattr(s, "body", None), list)
    ]
    match makers:
        case [ast.Assign(targets=[ast.Name()], value=ast.Call()) as only] if only in _before(plan):
            return only
    raise Unproven(f"{variable.name} is not made by one plain statement of the set-up", plan.nest.outer)


def _before(plan: Plan) -> list[ast.stmt]:
    """Top-level statements of the entry before the loop that are still there."""
    body = plan.nest.entry.body
    return [s for s in body if s.lineno < plan.nest.outer.lineno and s not in plan.moved_setup]


class _Slice:
    """The statements that only serve the loaders: a backward slice, closed under who reads its names."""

    def __init__(self, script: Script, plan: Plan, makers: list[ast.Assign]) -> None:
        self.script = script
        self.plan = plan
        self.entry = plan.nest.entry
        self.before = _before(plan)
        self.makers = makers
        self.others = self._names_read_elsewhere()

    def statements(self) -> list[ast.stmt]:
        """In their order; raises Unproven where a data set is needed elsewhere too."""
        chosen: set[ast.stmt] = set(self.makers)
        loaders = {n for s in self.makers for n in bound(s)}
        if shared := loaders & self.others:
            raise Unproven(f"`{min(shared)}` is used outside of the loops", self.makers[0])
        refused: set[str] = set()
        for statement in self.before:
            if (
                statement not in chosen
                and not _defines(statement)
                and (shared := read([statement]) & loaders)
            ):
                raise Unproven(f"`{min(shared)}` is used before training too", statement)
        while True:
            wanted = {n for s in chosen for n in read(s)} - refused
            left = []
            grown = False
            for name in sorted(wanted):
                users = self._users(name)
                makes = [s for s in users if name in bound(s)]
                if not makes or all(s in chosen for s in users):
                    continue
                if self._movable(name, users, chosen):
                    chosen |= set(users)
                    grown = True
                else:
                    left.append(name)
            if not grown:  # not before: what moves may take a user of another name along
                for name in left:
                    self._refuse(name)
                break
        ordered = [s for s in self.before if s in chosen]
        self._check_closed(ordered)
        return ordered

    def _users(self, name: str) -> list[ast.stmt]:
        return [s for s in self.before if (name in read([s]) or name in bound([s])) and not _defines(s)]

    def _movable(self, name: str, users: list[ast.stmt], chosen: set[ast.stmt]) -> bool:
        if name in self.others:
            return False
        for statement in users:
            if statement in chosen:
                continue
            if any(self._role(n) in FOREIGN for n in bound(statement)) or is_constant(
                self.script.tree, statement
            ):
                return False
            if any(self._role(n) in FOREIGN and self._role(n) is not Role.CONFIG for n in read(statement)):
                return False
            # what it binds beside must not be needed outside either
            for other in bound(statement) - {name}:
                if other in self.others or any(
                    s not in users and s not in chosen for s in self._users(other)
                ):
                    return False
        return True

    def _refuse(self, name: str) -> None:
        """A name that stays outside becomes an argument of the data module: fine for plain values only."""
        role = self._role(name)
        if role in (Role.DATASET, Role.LOADER, Role.SAMPLER) or (role in FOREIGN and role is not Role.CONFIG):
            raise Unproven(f"`{name}` is used outside of the loaders too", self.makers[0])

    def _role(self, name: str) -> Role | None:
        return self.script.roles.of(ast.Name(name, ast.Load()), self.entry)

    def _names_read_elsewhere(self) -> set[str]:
        """Names that the hooks, functions that stay, and the code after training read."""
        names: set[str] = set()
        variables = Variables(self.script, [i for _, i in hook_items(self.plan)])
        sources = {v.name for v in trainer_texts(self.script, self.plan, variables)}
        for name, hook in self.plan.hooks.items():
            found = {v.name for v in usage(hook.items, variables, self.plan).exposed if v.scope is self.entry}
            names |= found - sources if name not in ("__init__", "configure_optimizers") else found
        for function in [*self.script.roles.functions.values(), *self.script.roles.owner]:
            sees = isinstance(self.entry, ast.Module) or self.script.roles.outer[function] is self.entry
            if function not in self.plan.absorbed and sees:
                names |= free(function)
        for statement in self.entry.body:
            if statement.lineno > (self.plan.nest.outer.end_lineno or 0):
                names |= read([statement])
        for _, expression in self.plan.trainer.values():
            names |= read(expression)
        return names

    def _check_closed(self, ordered: list[ast.stmt]) -> None:
        for statement in ordered:
            for node in walk_scope(statement):
                if isinstance(node, ast.Return | ast.Raise | ast.Global | Function):
                    raise Unproven("the data is made in a way that can't be moved", node)


def _defines(statement: ast.stmt) -> bool:
    return isinstance(statement, Function | ast.ClassDef | ast.Import | ast.ImportFrom)


def _instance_name(script: Script, plan: Plan) -> str:
    taken = bound(plan.nest.entry.body) | bound(script.tree.body)
    return next(n for n in ("data", "data_module", "lit_data") if n not in taken)
