"""Roles of what stands in dictionaries and lists: `loaders["train"]` is a loader where each value is one."""

from __future__ import annotations

import ast

from litify_linter.reading.imports import Imports, dotted
from litify_linter.reading.roles import Role, Roles, Scope
from litify_linter.reading.scopes import Function, function_locals, parameters, walk_scope

HELD = (Role.LOADER, Role.OPTIMIZER, Role.SCHEDULER, Role.DATASET)


class ContainerRoles(Roles):
    """Roles that also know the elements of containers, by name of the container and scope."""

    def __init__(self, tree: ast.Module, imports: Imports) -> None:
        self._elements: dict[tuple[Scope, str], Role] = {}
        self._wrapping: dict[str, str | None] = {}  # class -> its attribute that is an optimizer
        super().__init__(tree, imports)
        self._infer_trained()
        for _ in range(
            3
        ):  # roles flow into containers, containers into parameters, and elements back into roles
            before = len(self._elements) + len(self._instances) + len(self._known)
            for scope in [tree, *self.outer]:
                if not isinstance(scope, ast.ClassDef):
                    self._find_containers(scope)
            if len(self._elements) + len(self._instances) + len(self._known) == before:
                return
            for scope in [tree, *self.outer]:
                if not isinstance(scope, ast.ClassDef):
                    self._infer(scope)

    def of(self, node: ast.expr, scope: Scope) -> Role | None:
        """The role of an expression, elements of containers included."""
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            place: Scope | None = scope
            while place is not None:
                found = self._elements.get((place, node.value.id))
                if found is not None:
                    return found
                place = self.outer.get(place)
            if isinstance(node.slice, ast.Constant) and (scope, ast.unparse(node)) in self._known:
                return self._known[(scope, ast.unparse(node))]
        if isinstance(node, ast.Name) and self._is_network(node.id, scope):
            return Role.MODEL
        role = super().of(node, scope)
        if role is Role.OPTIMIZER and self.wrapped_optimizer(node, scope) is not None:
            return None  # told from its use, but no optimizer of PyTorch's
        return role

    def wrapped_optimizer(self, node: ast.expr, scope: Scope) -> str | None:
        """The attribute that is the optimizer, of an object of the script's own whose methods step it."""
        name = dotted(node)
        made = self._instance(name, scope) if name is not None else None
        if made is None:
            return None
        if made not in self._wrapping:
            self._wrapping[made] = stepped_attribute(self.classes[made])
        return self._wrapping[made]

    def _instance(self, name: str, scope: Scope) -> str | None:
        """The class of the script that a name holds an object of."""
        made = self._instances.get((scope, name)) or self._instances.get((self.tree, name))
        if made is None and name.startswith("self.") and isinstance(scope, Function) and scope in self.owner:
            methods = [s for s in self.owner[scope].body if isinstance(s, Function)]
            made = next((m for s in methods if (m := self._instances.get((s, name))) is not None), None)
        return made if made in self.classes else None

    def callee(self, call: ast.Call, scope: Scope) -> Function | None:
        """The function or method that a call runs; also of an object made on the spot: `Trainer(model).fit()`."""
        match call.func:
            case ast.Attribute(value=ast.Call(func=ast.Name(id=made)), attr=name) if made in self.classes:
                return self._method(self.classes[made], name)
        return super().callee(call, scope)

    def _is_network(self, name: str, scope: Scope) -> bool:
        """`self` in a method of a network."""
        owner = self.owner.get(scope) if isinstance(scope, Function) else None
        if owner is None or not isinstance(scope, Function) or parameters(scope)[:1] != [name]:
            return False
        return self.class_role(owner.name) is Role.MODEL

    def _find_containers(self, scope: Scope) -> None:
        for node in walk_scope(scope.body):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    role = self._held(value, scope)
                    if role is not None:
                        self._elements.setdefault((scope, name), role)
                case ast.Call():
                    self._flow_containers(node, scope)
                    self._flow_instances(node, scope)
                    self._flow_back(node, scope)
                    self._flow_keywords(node, scope)

    def _held(self, value: ast.expr, scope: Scope) -> Role | None:
        match value:
            case ast.Dict(values=values) | ast.List(elts=values) if values:
                roles = {self.of(v, scope) for v in values}
            case ast.DictComp(value=one) | ast.ListComp(elt=one):
                roles = {self.of(one, scope)}
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if keywords:
                roles = {self.of(k.value, scope) for k in keywords}
            case ast.Name(id=name):
                return self._elements.get((scope, name))
            case _:
                return None
        role = roles.pop() if len(roles) == 1 else None
        return role if role in HELD else None

    def _flow_containers(self, call: ast.Call, scope: Scope) -> None:
        function = self.callee(call, scope)
        if not isinstance(function, Function):
            return
        for name, value in self.arguments(call, function).items():
            if isinstance(value, ast.Name) and name in parameters(function):
                role = self._elements.get((scope, value.id)) or self._elements.get((self.tree, value.id))
                if role is not None:
                    self._elements.setdefault((function, name), role)

    def _infer_trained(self) -> None:
        """What `parameters()` is asked of is a network, and what a GradScaler steps an optimizer, wherever they are made."""
        found: dict[tuple[Scope, str], Role] = {}
        for scope in [self.tree, *self.outer]:
            if isinstance(scope, ast.ClassDef):
                continue
            for node in walk_scope(scope.body):
                match node:
                    case ast.Call(func=ast.Attribute(value=owner, attr="parameters" | "named_parameters")):
                        role = Role.MODEL
                    case ast.Call(func=ast.Attribute(value=scaler, attr="step"), args=[owner]) if (
                        self.of(scaler, scope) is Role.SCALER
                    ):
                        role = Role.OPTIMIZER
                    case _:
                        continue
                name = dotted(owner)
                if name and name.count(".") > name.startswith(
                    "self."
                ):  # `self.net.encoder` of a network `self.net`
                    whole = ".".join(name.split(".")[: 1 + name.startswith("self.")])
                    if self._is_called(whole, scope) and self._lookup(whole, scope) is None:
                        found.setdefault((self._home(whole, scope), whole), role)
                if (
                    name
                    and name != "self"
                    and self._lookup(name, scope) is None
                    and not self._instance(name, scope)
                ):
                    found.setdefault((self._home(name, scope), name), role)
        self._known |= found
        for scope in [self.tree, *self.outer] if found else []:
            if not isinstance(scope, ast.ClassDef):
                self._infer(scope)

    def _is_called(self, name: str, scope: Scope) -> bool:
        """Whether the code around, the class of `self`, calls an object itself."""
        around = self._place(name, scope) if name.startswith("self.") else self.tree
        return any(isinstance(n, ast.Call) and dotted(n.func) == name for n in ast.walk(around))

    def _home(self, name: str, scope: Scope) -> Scope:
        """Where a name that is read in a scope is bound."""
        if "." in name:
            return self._place(name, scope)
        place: Scope | None = scope
        while place is not None:
            if name in _bound_in(place):
                return place
            place = self.outer.get(place)
        return self.tree

    def _flow_keywords(self, call: ast.Call, scope: Scope) -> None:
        """`Solver(model=net)` makes `kwargs["model"]` of `def __init__(self, **kwargs)` a network."""
        function = self.callee(call, scope)
        if function is None and isinstance(call.func, ast.Name) and call.func.id in self.classes:
            function = self._method(self.classes[call.func.id], "__init__")
        if function is None or function.args.kwarg is None:
            return
        for keyword in call.keywords:
            role = self.of(keyword.value, scope)
            if keyword.arg and role is not None and keyword.arg not in parameters(function)[:-1]:
                self._known.setdefault((function, f"{function.args.kwarg.arg}[{keyword.arg!r}]"), role)

    def _flow_back(self, call: ast.Call, scope: Scope) -> None:
        """What a function steps as its optimizer is one where the caller made it too, by whatever means."""
        function = self.callee(call, scope)
        if function is None:
            return
        for name, value in self.arguments(call, function).items():
            steps = self._known.get((function, name)) is Role.OPTIMIZER
            if steps and isinstance(value, ast.Name) and self._lookup(value.id, scope) is None:
                self._known[(self._home(value.id, scope), value.id)] = Role.OPTIMIZER

    def _flow_instances(self, call: ast.Call, scope: Scope) -> None:
        """A parameter that is given an object which wraps an optimizer holds that object."""
        function = self.callee(call, scope)
        if function is None:
            return
        for name, value in self.arguments(call, function).items():
            held = dotted(value)
            if held and name in parameters(function) and self.wrapped_optimizer(value, scope) is not None:
                self._instances.setdefault((function, name), self._instance(held, scope) or "")


def _bound_in(scope: Scope) -> set[str]:
    return function_locals(scope) if isinstance(scope, Function) else set()


def stepped_attribute(node: ast.ClassDef) -> str | None:
    """`optimizer`, of a plain class that calls `self.optimizer.step()` and computes no gradients."""
    if any(ast.unparse(base) != "object" for base in node.bases):
        return None
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    if any(isinstance(c.func, ast.Attribute) and c.func.attr == "backward" for c in calls):
        return None
    for call in calls:
        match call.func:
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="self"), attr=attr), attr="step") if (
                "opt" in attr.lower()
            ):
                return attr
    return None
