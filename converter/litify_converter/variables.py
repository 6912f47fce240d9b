"""Names resolved to variables, and the def-use of hooks over them."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from litify_converter.ir import Bind, Hook, Item, Moved, New, Plan, Scope, Variable
from litify_converter.read import Script
from litify_linter.reading.imports import dotted
from litify_linter.reading.scopes import (
    Function,
    bound,
    flow,
    function_locals,
    read,
    remembered,
    walk,
    walk_scope,
)


@remembered
def _shared(tree: ast.Module) -> frozenset[str]:
    """Names that functions of a module declare global."""
    return frozenset(n for node in walk(tree) if isinstance(node, ast.Global) for n in node.names)


class Variables:
    """Resolves names to variables, seeing through parameters and results of the functions that are written out."""

    def __init__(self, script: Script, items: Iterable[Item]) -> None:
        self.script = script
        self._locals: dict[Scope, set[str]] = {}
        self._static = self._static_names()
        self.alias: dict[Variable, Variable] = {}
        self.constant: dict[Variable, Bind] = {}  # parameter -> the argument that stands for it everywhere
        items = list(items)
        rebound = {v for item in items if not isinstance(item, Bind) for v in self.bound(item)}
        for item in items:
            if isinstance(item, Bind):
                self._see_through(item, rebound)

    def _static_names(self) -> set[str]:
        """Module-level names that only imports, functions and classes bind."""
        tree = self.script.tree
        defined: set[str] = set()
        for node in tree.body:
            if isinstance(node, Function | ast.ClassDef | ast.Import | ast.ImportFrom):
                defined |= bound([node])
        assigned = bound(
            n for n in tree.body if not isinstance(n, Function | ast.ClassDef | ast.Import | ast.ImportFrom)
        )
        return defined - assigned

    def locals_of(self, scope: Scope) -> set[str]:
        if scope not in self._locals:
            if isinstance(scope, ast.Module):
                self._locals[scope] = (bound(scope.body) | _shared(scope)) - self._static
            else:
                self._locals[scope] = function_locals(scope)
        return self._locals[scope]

    def raw(self, name: str, scope: Scope) -> Variable | None:
        """The variable a name means in a scope, aliases not followed; None: built-in, import, function or class."""
        place: ast.AST | None = scope
        while place is not None:
            if isinstance(place, ast.Module | Function) and name in self.locals_of(place):
                return Variable(place, name)
            place = self.script.roles.outer.get(place) if isinstance(place, Function | ast.ClassDef) else None
        return None

    def of(self, name: str, scope: Scope) -> Variable | None:
        """Like `raw`, with parameters that only rename a variable of the caller seen through."""
        variable = self.raw(name, scope)
        while variable in self.alias:
            variable = self.alias[variable]
        return variable

    def bound(self, item: Item) -> set[Variable]:
        match item:
            case Moved(scope, statement):
                return self._map(bound(statement), scope)
            case New(scope, text):
                return self._map(bound(ast.parse(text).body), scope)
            case Bind():
                return self._map(bound(item.target), item.target_scope)

    def _map(self, names: Iterable[str], scope: Scope) -> set[Variable]:
        return {v for name in names if (v := self.of(name, scope)) is not None}

    def _see_through(self, item: Bind, rebound: set[Variable]) -> None:
        if not isinstance(item.target, ast.Name):
            return
        target = self.raw(item.target.id, item.target_scope)
        if target is None or target in self.alias or target in self.constant:
            return
        if isinstance(item.value_scope, ast.Module | Function) and isinstance(item.value, ast.Name):
            value = self.raw(item.value.id, item.value_scope)
            is_parameter = target not in rebound and not item.of_result
            if value is None and is_parameter:
                self.constant[target] = item
            elif value is not None and is_parameter and self._resolved(value) != target:
                self.alias[target] = value
            elif (
                value is not None
                and item.of_result
                and value not in self.alias
                and self._is_result(item)
                and value != target
            ):
                # `x = f()` where f ends in `return y`: y is x from the start, if y is f's own
                self.alias[value] = target
        elif target not in rebound and self._is_fixed(item, rebound):
            self.constant[target] = item

    def read(self, names: Iterable[str], scope: Scope) -> set[Variable]:
        """The variables that names read; a parameter that stands for `args.clip` reads `args` too."""
        found = self._map(names, scope)
        for variable in list(found):
            if variable in self.constant:
                bind = self.constant[variable]
                found |= self.read(read(bind.value), bind.value_scope)
        return found

    def _resolved(self, variable: Variable) -> Variable:
        while variable in self.alias:
            variable = self.alias[variable]
        return variable

    def _is_result(self, item: Bind) -> bool:
        name = item.value.id if isinstance(item.value, ast.Name) else ""
        scope = item.value_scope
        return (
            isinstance(scope, Function) and name in self.locals_of(scope) and item.target_scope is not scope
        )

    def _is_fixed(self, item: Bind, rebound: set[Variable]) -> bool:
        """A constant, or a field of something nobody rebinds, such as `args.clip`."""
        if isinstance(item.value, ast.Constant):
            return True
        if self._is_loader_of_several(item):
            return not (self._map(read(item.value), item.value_scope) & rebound)
        if not isinstance(item.value, ast.Attribute) or dotted(item.value) is None:
            return False
        return not (self._map(read(item.value), item.value_scope) & rebound)

    def _is_loader_of_several(self, item: Bind) -> bool:
        """`loaders["train"]` for a parameter that is iterated over."""
        match item.value:
            case ast.Subscript(value=ast.Name(), slice=ast.Constant(value=str())):
                loops = (n for n in walk_scope(item.target_scope.body) if isinstance(n, ast.For))
                return any(read(item.target) & read(loop.iter) for loop in loops)
        return False


@dataclass(eq=False)
class Usage:
    """What one hook reads from outside of it, binds, and reads at all."""

    exposed: set[Variable] = field(default_factory=set)
    bound: set[Variable] = field(default_factory=set)
    read: set[Variable] = field(default_factory=set)


def hook_usage(hook: Hook, variables: Variables, plan: Plan) -> Usage:
    """Def-use over the items of one hook, with what stands for an expression at the epoch's end."""
    return usage(hook.items, variables, plan, plan.expressions if hook.name.endswith("epoch_end") else {})


def usage(
    items: Iterable[Item], variables: Variables, plan: Plan, expressions: Mapping[str, str] | None = None
) -> Usage:
    """Def-use over items, run in order."""
    found = Usage()
    sure: set[Variable] = set()
    for item in items:
        for scope, statements in item_statements(item, variables, plan):
            statements = (
                [_Replaced(expressions).visit(copy.deepcopy(s)) for s in statements]
                if expressions
                else statements
            )
            names = read(statements) | bound(statements)
            assigned = {n for n in names if variables.of(n, scope) in sure}
            exposed, after = flow(statements, assigned)
            found.exposed |= variables.read(exposed, scope) - sure
            found.read |= variables.read(read(statements), scope)
            sure |= {v for n in names if n in after and (v := variables.of(n, scope)) is not None}
        if isinstance(item, Bind) and not is_redundant(item, variables):
            now = variables.bound(item)
            sure |= now
            found.bound |= now
        elif not isinstance(item, Bind):
            for scope, statements in item_statements(item, variables, plan):
                found.bound |= {v for n in bound(statements) if (v := variables.of(n, scope)) is not None}
    return found


class _Replaced(ast.NodeTransformer):
    """Puts names in the places of divisions."""

    def __init__(self, expressions: Mapping[str, str]) -> None:
        self.expressions = expressions

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        text = self.expressions.get(ast.unparse(node))
        return self.generic_visit(node) if text is None else ast.Name(text, ast.Load())


def is_redundant(item: Bind, variables: Variables) -> bool:
    """Whether a Bind only renames, so that nothing needs to be written."""
    if not isinstance(item.target, ast.Name):
        return False
    target = variables.raw(item.target.id, item.target_scope)
    if target in variables.constant:
        return True
    if not isinstance(item.value, ast.Name):
        return False
    return variables.of(item.target.id, item.target_scope) == variables.of(item.value.id, item.value_scope)


def item_statements(item: Item, variables: Variables, plan: Plan) -> list[tuple[Scope, list[ast.stmt]]]:
    match item:
        case Moved(scope, statement):
            return [(scope, edited(statement, plan))]
        case New(scope, text):
            return [(scope, ast.parse(text).body)]
        case Bind():
            if is_redundant(item, variables):
                return []
            return [(item.value_scope, [ast.Expr(item.value)])]


def edited(statement: ast.stmt, plan: Plan) -> list[ast.stmt]:
    """A statement as the plan leaves it: dropped parts gone, replaced parts replaced."""
    if statement in plan.dropped:
        return []
    if statement in plan.replaced:
        return ast.parse(plan.replaced[statement]).body
    blocks = {
        n: getattr(statement, n) for n in ("body", "orelse", "finalbody") if getattr(statement, n, None)
    }
    if not blocks or not any(isinstance(b, list) for b in blocks.values()):
        return [statement]
    twin = copy.copy(statement)
    for name, block in blocks.items():
        if isinstance(block, list) and all(isinstance(s, ast.stmt) for s in block):
            inner = [s for one in block for s in edited(one, plan)]
            setattr(twin, name, inner or ([ast.Pass()] if name == "body" else []))
    emptied = isinstance(twin, ast.If) and not twin.orelse and isinstance(twin.body[0], ast.Pass)
    if emptied and not all(isinstance(s, ast.Pass) for s in getattr(statement, "body", [])):
        return []  # as the rewriter does
    return [twin]
