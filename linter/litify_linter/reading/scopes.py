"""Which names a piece of code binds and reads, and which it may read before it binds them.

All functions speak of one scope: the bodies of nested functions, lambdas and classes are not executed where they
stand, so only what they read from outside counts, as a read at the place of their definition.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
SCOPES = (*FUNCTIONS, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


Node = TypeVar("Node", bound=ast.AST)


def remembered(answer: Callable[[Node], frozenset[str]]) -> Callable[[Node], frozenset[str]]:
    """Asks once per node, for as long as the node lives: trees are read many times and never changed after parsing."""
    known: WeakKeyDictionary[Node, frozenset[str]] = WeakKeyDictionary()

    @wraps(answer)
    def ask(node: Node) -> frozenset[str]:
        found = known.get(node)
        if found is None:
            found = known[node] = answer(node)
        return found

    return ask


def walk_scope(nodes: ast.AST | Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Every node executed in this scope: like `ast.walk` in source order, not entering nested functions or classes."""
    stack = [nodes] if isinstance(nodes, ast.AST) else list(nodes)[::-1]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, SCOPES) and node is not nodes:
            stack.extend(reversed(_evaluated_at_definition(node)))
        else:
            stack.extend(reversed(_children(node)))


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node of a tree, like `ast.walk` but in another order, without contexts, and at half the cost."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack += _children(node)


def _children(node: ast.AST) -> list[ast.AST]:
    """What `ast.iter_child_nodes` gives, without the contexts (Load, Store) that every name has; written for speed."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [one for one in value if isinstance(one, ast.AST)]
        elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
            found.append(value)
    return found


def _evaluated_at_definition(node: ast.AST) -> list[ast.AST]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [*node.decorator_list, *node.args.defaults, *[d for d in node.args.kw_defaults if d]]
        case ast.Lambda():
            return [*node.args.defaults, *[d for d in node.args.kw_defaults if d]]
        case ast.ClassDef():
            return [*node.decorator_list, *node.bases, *[k.value for k in node.keywords]]
    return []


def parameters(function: Function | ast.Lambda) -> list[str]:
    """Names of all parameters, in order."""
    args = function.args
    every = [*args.posonlyargs, *args.args, *([args.vararg] if args.vararg else []), *args.kwonlyargs]
    return [a.arg for a in every] + ([args.kwarg.arg] if args.kwarg else [])


def bound(nodes: ast.AST | Iterable[ast.AST]) -> set[str]:
    """Names this code binds in its own scope (assignment, for, with, import, def, class, walrus, except, del)."""
    return set().union(*map(_bound, [nodes] if isinstance(nodes, ast.AST) else nodes))


@remembered
def _bound(node: ast.AST) -> frozenset[str]:
    names: set[str] = set()
    stored: list[ast.Name] = []
    comprehension_targets: set[int] = set()
    for inner in walk_scope([node]):
        match inner:
            case ast.Name():
                if not isinstance(inner.ctx, ast.Load):
                    stored.append(inner)
            case ast.comprehension():
                comprehension_targets.update(id(n) for n in ast.walk(inner.target))
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(inner.name)
            case ast.Import() | ast.ImportFrom():
                names.update((a.asname or a.name).partition(".")[0] for a in inner.names)
            case ast.ExceptHandler(name=str(name)):
                names.add(name)
            case (
                ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name))
            ):
                names.add(name)
    names.update(name.id for name in stored if id(name) not in comprehension_targets)
    return frozenset(names)


def read(nodes: ast.AST | Iterable[ast.AST]) -> set[str]:
    """Names read from this scope, those read inside nested functions, lambdas and comprehensions included."""
    return set().union(*map(_read_alone, [nodes] if isinstance(nodes, ast.AST) else nodes))


@remembered
def _read_alone(node: ast.AST) -> frozenset[str]:
    return frozenset(_read(node, frozenset()))


def _read(nodes: ast.AST | Iterable[ast.AST], inner: frozenset[str]) -> set[str]:
    names: set[str] = set()
    stack = [nodes] if isinstance(nodes, ast.AST) else list(nodes)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load) and node.id not in inner:
                names.add(node.id)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            if node.target.id not in inner:
                names.add(node.target.id)
            stack.append(node.value)
        elif isinstance(node, FUNCTIONS):
            stack.extend(_evaluated_at_definition(node))
            names |= free(node) - inner
        elif isinstance(node, ast.ClassDef):
            stack.extend(_evaluated_at_definition(node))
            names |= _read(node.body, inner | frozenset(bound(node.body)))
        elif isinstance(node, COMPREHENSIONS):
            own = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
            first = node.generators[0].iter  # evaluated before the comprehension's own names exist
            stack.append(first)
            rest = [
                n
                for g in node.generators
                for n in (g.target, *g.ifs, *([g.iter] if g.iter is not first else []))
            ]
            results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            names |= _read([*rest, *results], inner | own)
        else:
            stack += _children(node)
    return names


def free(function: Function | ast.Lambda) -> set[str]:
    """Names a function reads from outside: read in it, and neither parameters nor bound in it.

    Names declared `global` or `nonlocal` in it count as free even where it binds them.
    """
    return set(_free(function))


@remembered
def _free(function: Function | ast.Lambda) -> frozenset[str]:
    body: list[ast.AST] = list(function.body) if isinstance(function.body, list) else [function.body]
    outer = {
        n for node in walk_scope(body) if isinstance(node, ast.Global | ast.Nonlocal) for n in node.names
    }
    own = (set(parameters(function)) | bound(body)) - outer
    return frozenset((read(body) | outer) - own)


def declared_global(function: Function) -> set[str]:
    """Names a function declares `global` or `nonlocal`."""
    return set(_declared_global(function))


@remembered
def _declared_global(function: Function) -> frozenset[str]:
    return frozenset(
        n
        for node in walk_scope(function.body)
        if isinstance(node, ast.Global | ast.Nonlocal)
        for n in node.names
    )


def exposed(statements: Iterable[ast.stmt], assigned: Iterable[str] = ()) -> set[str]:
    """Names that may be read before these statements have surely bound them: what flows in from outside.

    A branch binds surely what both of its sides bind; a loop body may run not at all; what a `try` binds is not
    sure after a handler. `assigned` is what is bound on entry.
    """
    names, _ = _exposed(list(statements), frozenset(assigned))
    return names


def flow(statements: Iterable[ast.stmt], assigned: Iterable[str] = ()) -> tuple[set[str], frozenset[str]]:
    """Both answers at once: names that flow in from outside, and names surely bound at the end."""
    return _exposed(list(statements), frozenset(assigned))


def surely_bound(statements: Iterable[ast.stmt]) -> set[str]:
    """Names bound on every way that reaches the end of these statements."""
    return set(_exposed(list(statements), frozenset())[1])


def function_locals(function: Function) -> set[str]:
    """Names that belong to a function: its parameters and what it binds, without those it declares global."""
    return (set(parameters(function)) | bound(function.body)) - declared_global(function)


def _exposed(statements: list[ast.stmt], have: frozenset[str]) -> tuple[set[str], frozenset[str]]:
    names: set[str] = set()
    for statement in statements:
        found, have = _exposed_statement(statement, have)
        names |= found
        if isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break):
            # Nothing after it runs; for the join with other branches it binds everything.
            return names, _Everything()
    return names, have


class _Everything(frozenset[str]):
    """The bindings on a way that never reaches the end: neutral where branches join."""

    def __contains__(self, item: object) -> bool:
        return True


def _join(left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    if isinstance(left, _Everything):
        return right
    if isinstance(right, _Everything):
        return left
    return left & right


def _exposed_statement(statement: ast.stmt, have: frozenset[str]) -> tuple[set[str], frozenset[str]]:
    match statement:
        case ast.If():
            names = read(statement.test) - have
            have = have | bound(statement.test)
            left_names, left = _exposed(statement.body, have)
            right_names, right = _exposed(statement.orelse, have)
            return names | left_names | right_names, _join(left, right)
        case ast.For() | ast.AsyncFor():
            names = read(statement.iter) - have
            inside = have | bound(statement.target)
            body_names, _ = _exposed(statement.body, inside)
            else_names, _ = _exposed(statement.orelse, have)
            return names | (read(statement.target) - have) | body_names | else_names, have
        case ast.While():
            names = read(statement.test) - have
            body_names, _ = _exposed(statement.body, have)
            else_names, _ = _exposed(statement.orelse, have)
            return names | body_names | else_names, have
        case ast.With() | ast.AsyncWith():
            names = set()
            for item in statement.items:
                names |= read(item.context_expr) - have
                if item.optional_vars is not None:
                    names |= read(item.optional_vars) - have
                    have = have | bound(item.optional_vars)
            body_names, have = _exposed(statement.body, have)
            return names | body_names, have
        case ast.Try():
            body_names, after_body = _exposed([*statement.body, *statement.orelse], have)
            names, after = body_names, after_body
            for handler in statement.handlers:
                inside = have | ({handler.name} if handler.name else set())
                handler_names, after_handler = _exposed(handler.body, inside)
                names = names | handler_names | (read(handler.type) if handler.type else set())
                after = _join(after, after_handler)
            final_names, final = _exposed(statement.finalbody, have)
            return names | final_names, after if isinstance(after, _Everything) else after | final
        case _:
            return read(statement) - have, have | bound(statement)
