"""Stage 5c, placement: what hooks touch is on the Trainer's device, or the Trainer trains where the script did.

A script that names no device trains on the CPU: there its own tensors are. The Trainer would take a GPU where there is one,
and move the model and the batches to it. So whatever else meets them has to move as well: tensors that the set-up made become
buffers of the LightningModule, tensors that a hook makes are made on `self.device`, and `.numpy()` is taken on the CPU.
Where something is left that can't be moved like this, the Trainer gets `accelerator="cpu"`, and the report says why.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from litify_converter.device_choice import choose_device
from litify_converter.ir import Bind, Moved, Note, Plan, Scope, Variable
from litify_converter.lifetimes import DEFINING, Home, Homes
from litify_converter.read import Script
from litify_converter.tensors import FACTORIES, Sort, Values, is_number, takes_from_device
from litify_converter.variables import item_statements
from litify_linter.reading.imports import Imports
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, free, read, walk_scope

_DEVICES = re.compile(r"cuda|device|gpu|\bmps\b|\bxpu\b", re.IGNORECASE)
_OF_DATA = {"prepare_data", "setup", "train_dataloader", "val_dataloader", "test_dataloader"}
# Libraries that take numbers out of a tensor, and can't from a GPU.
_ON_HOST = ("numpy.", "matplotlib.", "sklearn.", "scipy.", "pandas.", "PIL.", "cv2.", "seaborn.", "imageio.")
_PLAIN_ROLES = set(Role) - {Role.DEVICE, Role.HAS_GPU}


@dataclass(frozen=True)
class Hazard:
    """A place where something on the CPU meets what the Trainer moved; `movable` where a hook can say `self.device`."""

    node: ast.AST
    reason: str
    movable: bool = False


def names_device(script: Script) -> bool:
    """Whether the script, or a file beside it that it imports from, has code about devices."""
    texts = [(script.text, script.tree), *((t, tree) for t, tree in _files_beside(script))]
    return any(_DEVICES.search(text) and _mentions(tree) for text, tree in texts)


def place(script: Script, plan: Plan, homes: Homes, idiomatic: bool = True) -> None:
    """Make the plan right on any device: see above. `homes` learns which attributes are buffers."""
    finder = _Finder(script, plan, homes)
    buffers = finder.buffers() if idiomatic else {}
    homes.buffers |= set(buffers.values())
    if names_device(script.original or script):
        if idiomatic:
            choose_device(script, plan)
        return
    hazards = list(finder.hazards(set(buffers)))
    stays = [h for h in hazards if not (h.movable and idiomatic)]
    if not stays:
        plan.placed = bool(hazards)
        return
    homes.buffers -= set(buffers.values())
    plan.trainer_text["accelerator"] = '"cpu"'
    first = min(stays, key=lambda h: getattr(h.node, "lineno", 0))
    line = getattr(first.node, "lineno", 0)
    plan.notes.append(Note("look", line, f"it trains on the CPU, as the script does: {first.reason}"))


def _mentions(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        match node:
            case (
                ast.Name(id=text)
                | ast.Attribute(attr=text)
                | ast.arg(arg=text)
                | ast.keyword(arg=str() as text)
            ):
                pass
            case ast.Constant(value=str() as text) if len(text) < 40:
                pass
            case _:
                continue
        if _DEVICES.search(text):
            return True
    return False


def _files_beside(script: Script) -> Iterator[tuple[str, ast.Module]]:
    """The files beside the script that it imports, those of a package all."""
    folder = script.path.parent
    modules = {n.module or "" for n in ast.walk(script.tree) if isinstance(n, ast.ImportFrom)}
    modules |= {a.name for n in ast.walk(script.tree) if isinstance(n, ast.Import) for a in n.names}
    for module in sorted(modules):
        place = folder.joinpath(*module.split(".")) if module else folder
        files = (
            sorted(place.glob("*.py"))[:50]
            if module and place.is_dir()
            else [place.with_suffix(".py")] if module else []
        )
        for file in files:
            try:
                text = file.read_text(encoding="utf-8")
                yield text, ast.parse(text)
            except (OSError, SyntaxError, ValueError):
                continue


class _Finder:
    """Looks through the code of the hooks, of the functions they call, and of the networks."""

    def __init__(self, script: Script, plan: Plan, homes: Homes) -> None:
        self.script = script
        self.plan = plan
        self.homes = homes
        self.values = Values(script, plan.nest.outer)
        self.hooks = [n for n in plan.hooks if n not in _OF_DATA | set(DEFINING)]

    # -- tensors of the set-up -------------------------------------------------------------------------------------

    def buffers(self) -> dict[Variable, str]:
        """Tensors that the set-up made and the hooks only read: variable -> attribute."""
        trained = self._trained()
        found: dict[Variable, str] = {}
        for variable, home in self.homes.home.items():
            attribute = self.homes.text.get(variable, "").removeprefix("self.")
            if home is not Home.ATTRIBUTE or self.homes.attributes.get(attribute) != variable.name:
                continue
            rebound = any(variable in u.bound for u in self.homes.usages.values())
            name = ast.Name(variable.name, ast.Load())
            if rebound or variable.name in trained or self._wants_grad(variable):
                continue
            if self.values.of(name, variable.scope) is Sort.TENSOR:
                found[variable] = attribute
        return found

    def _trained(self) -> set[str]:
        """Names that an optimizer is made of."""
        return {
            n
            for node in ast.walk(self.script.tree)
            if isinstance(node, ast.Call) and self.script.roles.of(node, self.script.tree) is Role.OPTIMIZER
            for n in read(node)
        }

    def _wants_grad(self, variable: Variable) -> bool:
        for node in walk_scope(variable.scope.body):
            match node:
                case ast.Assign(targets=targets, value=value) if variable.name in {
                    n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)
                }:
                    if any(isinstance(n, ast.keyword) and n.arg == "requires_grad" for n in ast.walk(value)):
                        return True
                case ast.Attribute(value=ast.Name(id=name), attr="requires_grad" | "requires_grad_" | "grad"):
                    if name == variable.name:
                        return True
        return False

    # -- what can't be moved ---------------------------------------------------------------------------------------

    def hazards(self, buffers: set[Variable]) -> Iterator[Hazard]:
        seen: set[Function] = set()
        waiting: list[Function] = []
        for hook in self.hooks:
            for item in self.plan.hooks[hook].items:
                if isinstance(item, Moved) and item.statement in self.plan.dropped:
                    continue
                for scope, statements in item_statements(item, self.homes.variables, self.plan):
                    yield from self._in_code(statements, scope, in_hook=not isinstance(item, Bind))
                    yield from self._of_set_up(statements, scope, buffers)
                    waiting += self._called(statements, scope)
                    inside = [f for s in statements for f in ast.walk(s) if isinstance(f, Function)]
                    for function in inside:  # what it reads is among what the hook reads
                        yield from self._in_code(function.body, function, in_hook=True)
                        waiting += self._called(function.body, function)
                    seen |= set(inside)
        while waiting:
            function = waiting.pop()
            if function in seen:
                continue
            seen.add(function)
            yield from self._in_code(function.body, function, in_hook=False)
            yield from self._globals_of(function)
            waiting += self._called(function.body, function)
        yield from self._in_networks(self.script.tree, self.script.imports)
        for _, tree in _files_beside(self.script):
            yield from self._in_networks(tree, Imports(tree))

    def _in_code(self, code: Iterable[ast.AST], scope: Scope, in_hook: bool) -> Iterator[Hazard]:
        resolve = self.script.imports.resolve
        nodes = list(walk_scope(code))
        indices = _indices(nodes)
        for node in nodes:
            match node:
                case ast.Call(func=func) if (name := resolve(func)) in FACTORIES:
                    if not is_number(node, name):
                        movable = in_hook and node not in indices
                        yield Hazard(node, f"`{_short(node)}` makes a tensor there", movable)
                case (
                    ast.For(iter=source)
                    | ast.comprehension(iter=source)
                    | ast.Call(func=ast.Name(id="iter" | "next"), args=[source, *_])
                ) if self._is_loader(source, scope):
                    yield Hazard(source, f"what `{_short(source)}` gives stays there")
                case ast.Call(func=ast.Attribute(value=value)) if takes_from_device(node):
                    if self.values.of(value, scope) is not Sort.PLAIN:
                        yield Hazard(node, f"`{_short(node)}` takes it from there", in_hook)
                case ast.Call(func=func) if (name := resolve(func) or "").startswith(_ON_HOST):
                    given = [*node.args, *(k.value for k in node.keywords)]
                    if any(not self._is_host(g, scope) for g in given):
                        yield Hazard(node, f"`{_short(node)}` reads it there")

    def _is_loader(self, node: ast.expr, scope: Scope) -> bool:
        """Whether iterating this gives batches or samples that nobody moves."""
        names = [n for n in ast.walk(node) if isinstance(n, ast.Name | ast.Attribute)]
        return any(self.script.roles.of(n, scope) in (Role.LOADER, Role.DATASET) for n in names)

    def _is_host(self, node: ast.expr, scope: Scope) -> bool:
        """Whether a value surely is no tensor of the Trainer's device."""
        match node:
            case ast.Call(func=ast.Attribute(attr="item" | "tolist" | "numpy" | "cpu" | "size" | "format")):
                return True
            case ast.Call(func=func) if (self.script.imports.resolve(func) or "").startswith(_ON_HOST):
                return True  # looked at on its own
            case ast.Call(func=ast.Attribute(value=value)):
                return self._is_host(value, scope)
            case ast.Starred(value=value) | ast.Subscript(value=value) | ast.Attribute(value=value):
                return self._is_host(value, scope)
            case ast.BinOp(left=left, right=right):
                return self._is_host(left, scope) and self._is_host(right, scope)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return all(self._is_host(p, scope) for p in parts)
        return self.values.of(node, scope) is Sort.PLAIN

    def _of_set_up(
        self, statements: list[ast.stmt], scope: Scope, buffers: set[Variable]
    ) -> Iterator[Hazard]:
        """What a hook reads of the set-up, unless it is surely no tensor."""
        variables = self.homes.variables
        for name in sorted(read(statements)):
            variable = variables.of(name, scope)
            if variable is None or variable in buffers or self._is_of_hooks(variable):
                continue
            home = self.homes.home.get(variable)
            if home in (Home.ATTRIBUTE, Home.GLOBAL) and not self._is_plain(variable):
                yield Hazard(_first(statements), f"`{variable.name}` is made there")

    def _is_of_hooks(self, variable: Variable) -> bool:
        """Whether a hook binds it, from what it has itself."""
        return any(variable in u.bound for u in self.homes.usages.values()) and variable not in self.set_up

    @property
    def set_up(self) -> set[Variable]:
        """Variables that `__init__` is given."""
        names = set(self.homes.parameters)
        return {v for v in self.homes.home if v.name in names}

    def _is_plain(self, variable: Variable) -> bool:
        name = ast.Name(variable.name, ast.Load())
        if self.script.roles.of(name, variable.scope) in _PLAIN_ROLES:
            return not _is_listed(variable)
        return self.values.of(name, variable.scope) is Sort.PLAIN

    def _globals_of(self, function: Function) -> Iterator[Hazard]:
        """What a function reads of the script around it; one inside of a hook reads what the hook reads."""
        nest = self.plan.nest
        around = [nest.outer, *(c.function for c in nest.calls)]
        if any(part.lineno <= function.lineno <= (part.end_lineno or 0) for part in around):
            return
        for name in sorted(free(function)):
            variable = self.homes.variables.of(name, function)
            if variable is not None and not self._is_plain(variable):
                yield Hazard(function, f"`{name}`, which `{function.name}` reads, is made there")

    def _called(self, code: Iterable[ast.AST], scope: Scope) -> list[Function]:
        """Functions of the script that code calls or mentions; the networks' methods are looked at by themselves."""
        found = []
        for node in walk_scope(code):
            function = self.script.roles.callee(node, scope) if isinstance(node, ast.Call) else None
            if function is None and isinstance(node, ast.Name):
                function = self.script.roles.functions.get(node.id)
            if function is not None and function not in self.script.roles.owner:
                found.append(function)
        return found

    def _in_networks(self, tree: ast.Module, imports: Imports) -> Iterator[Hazard]:
        """Networks that make tensors when they are called, or keep some that are no buffers."""
        for network in (n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and _is_network(n, imports)):
            for method in (n for n in network.body if isinstance(n, Function)):
                for node in walk_scope(method.body):
                    match node:
                        case ast.Call(func=func) if (
                            method.name != "__init__" and (name := imports.resolve(func)) in FACTORIES
                        ):
                            if not is_number(node, name):
                                yield Hazard(node, f"`{_short(node)}` in {network.name} makes a tensor there")
                        case ast.Call() if takes_from_device(node):
                            yield Hazard(node, f"`{_short(node)}` in {network.name} takes it from there")
                        case ast.Assign(
                            targets=[ast.Attribute(value=ast.Name(id="self"))], value=ast.Call(func=func)
                        ):
                            if imports.resolve(func) in FACTORIES:
                                yield Hazard(node, f"`{_short(node)}` in {network.name} is no buffer")


def _is_network(node: ast.ClassDef, imports: Imports) -> bool:
    """A subclass of nn.Module, also by way of a class that ends in Module."""
    return any((imports.resolve(b) or ast.unparse(b)).endswith(("Module", "Function")) for b in node.bases)


def _indices(nodes: list[ast.AST]) -> set[ast.AST]:
    """Calls whose result picks items: `items[torch.randperm(n)]`, also by a name."""
    slices = [n.slice for n in nodes if isinstance(n, ast.Subscript)]
    names = {n.id for s in slices for n in ast.walk(s) if isinstance(n, ast.Name)}
    assigned = [n.value for n in nodes if isinstance(n, ast.Assign) and _target_names(n.targets) & names]
    return {n for part in [*slices, *assigned] for n in ast.walk(part)}


def _is_listed(variable: Variable) -> bool:
    """Whether it is a list or a dictionary as Python has them: networks in it are not moved with the module."""
    listed = (ast.List, ast.ListComp, ast.Dict, ast.DictComp, ast.Tuple)
    return any(
        isinstance(n, ast.Assign)
        and isinstance(n.value, listed)
        and isinstance(t, ast.Name)
        and t.id == variable.name
        for n in walk_scope(variable.scope.body)
        if isinstance(n, ast.Assign)
        for t in n.targets
    )


def _target_names(targets: list[ast.expr]) -> set[str]:
    return {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}


def _first(statements: list[ast.stmt]) -> ast.AST:
    return statements[0] if statements else ast.Pass()


def _short(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 40 else text[:37] + "..."
