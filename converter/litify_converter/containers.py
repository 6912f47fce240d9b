"""Roles of what stands in dictionaries and lists: `loaders["train"]` is a loader where each value is one."""

from __future__ import annotations

import ast

from litify_linter.reading.imports import Imports
from litify_linter.reading.roles import Role, Roles, Scope
from litify_linter.reading.scopes import Function, parameters, walk_scope

HELD = (Role.LOADER, Role.OPTIMIZER, Role.SCHEDULER, Role.DATASET)


class ContainerRoles(Roles):
    """Roles that also know the elements of containers, by name of the container and scope."""

    def __init__(self, tree: ast.Module, imports: Imports) -> None:
        self._elements: dict[tuple[Scope, str], Role] = {}
        super().__init__(tree, imports)
        for _ in range(
            3
        ):  # roles flow into containers, containers into parameters, and elements back into roles
            before = len(self._elements)
            for scope in [tree, *self.outer]:
                if not isinstance(scope, ast.ClassDef):
                    self._find_containers(scope)
            if len(self._elements) == before:
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
        if isinstance(node, ast.Name) and self._is_network(node.id, scope):
            return Role.MODEL
        return super().of(node, scope)

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
