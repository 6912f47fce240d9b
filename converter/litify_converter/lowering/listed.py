"""`for sample in samples:` of a list: a Trainer would take a list for several loaders, so it is given the places in it."""

from __future__ import annotations

import ast

from litify_converter.ir import Note, Scope
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text, header_end
from litify_converter.read import Script
from litify_converter.ways import Search, first_loop, from_loop
from litify_linter.reading.imports import dotted
from litify_linter.reading.scopes import Function, bound, function_locals, parameters, read, walk_scope

MAKING = {"list", "sorted", "tuple", "numpy.array_split", "random.sample"}


class Listed(Lowering):
    """The loop over batches goes over `range(len(samples))`, and takes the sample of that place."""

    name = "listed"
    words = ("[",)

    def find(self, script: Script) -> Lowered | None:
        loops = [
            (scope, loop)
            for scope in [script.tree, *script.roles.functions.values(), *script.roles.owner]
            for loop in walk_scope(scope.body)
            if isinstance(loop, ast.For) and not loop.orelse and isinstance(_source(loop), ast.Name)
        ]
        if not loops:
            return None
        ways = [way for way in Search(script).ways() if first_loop(way) is not None]
        cut, _ = from_loop(ways, script)
        training = {id(turn.statement) for way in cut for turn in way}
        for scope, loop in loops:
            alone = id(loop) in training and loop.body[0].lineno > loop.lineno
            inner = any(id(n) in training for s in loop.body for n in ast.walk(s) if isinstance(n, ast.For))
            if alone and is_list(script, _source(loop), scope) and not (inner and _first(loop) is not None):
                return _by_place(script, scope, loop)
        return None


def _source(loop: ast.For) -> ast.expr:
    match loop.iter:
        case ast.Call(func=ast.Name(id="enumerate"), args=[inner, *start]) if (
            _first(loop) is not None or not start
        ):
            return inner
    return loop.iter


def _first(loop: ast.For) -> ast.expr | None:
    """The number that `enumerate(samples, 1)` begins with, where it is a constant."""
    match loop.iter:
        case ast.Call(args=[_, ast.Constant() as first], keywords=[]):
            return first
        case ast.Call(args=[_], keywords=[ast.keyword(arg="start", value=ast.Constant() as first)]):
            return first
    return None


def is_list(script: Script, source: ast.expr, scope: Scope, depth: int = 4) -> bool:
    """Whether a name stands for a list, by everything that it is bound to."""
    if not isinstance(source, ast.Name) or not depth:
        return False
    name = source.id
    while isinstance(scope, Function) and name not in function_locals(scope):
        outer = script.roles.outer.get(scope)
        scope = outer if isinstance(outer, Function) else script.tree
    values = [n.value for n in walk_scope(scope.body) if isinstance(n, ast.Assign) and name in bound(n)]
    plain = [n for n in walk_scope(scope.body) if isinstance(n, ast.Name) and n.id == name]
    if len(values) != sum(not isinstance(n.ctx, ast.Load) for n in plain):
        return False  # bound in another way too
    given = _given(script, name, scope) if isinstance(scope, Function) and name in parameters(scope) else []
    found = [_makes_list(script, value) for value in values]
    found += [is_list(script, value, caller, depth - 1) for value, caller in given]
    return bool(found) and all(found)


def _given(script: Script, name: str, function: Function) -> list[tuple[ast.expr, Scope]]:
    """What the calls of a function give to a parameter."""
    scopes = [script.tree, *script.roles.functions.values(), *script.roles.owner]
    calls = [(n, s) for s in scopes for n in walk_scope(s.body) if isinstance(n, ast.Call)]
    mine = [(n, s) for n, s in calls if script.roles.callee(n, s) is function]
    return [(script.roles.arguments(call, function).get(name, ast.Constant(None)), s) for call, s in mine]


def _makes_list(script: Script, value: ast.expr) -> bool:
    match value:
        case ast.List() | ast.ListComp():
            return True
        case ast.Call(func=func):
            return (script.imports.resolve(func) or dotted(func)) in MAKING
    return False


def _by_place(script: Script, scope: Scope, loop: ast.For) -> Lowered:
    text = Text(script.text)
    source = text.of(_source(loop))
    target = loop.target
    taken = bound(scope.body) | read(scope.body) | bound(script.tree.body)
    place = next(n for n in ("place", "place_", "place__") if n not in taken)
    counted = ""
    if _source(loop) is not loop.iter and isinstance(target, ast.Tuple):
        number, target, first = text.of(target.elts[0]), target.elts[1], _first(loop)
        if first is None:
            place = number
        else:
            counted = f"{text.indent(loop.body[0])}{number} = {place} + {ast.unparse(first)}\n"
    header = header_end(text, loop.body, loop.iter.end_lineno or loop.lineno)
    sample = f"{counted}{text.indent(loop.body[0])}{text.of(target)} = {source}[{place}]\n"
    edits = [
        Edit(text.start(loop.target), text.end(loop.iter), f"{place} in range(len({source}))"),
        Edit((header + 1, 0), (header + 1, 0), sample, loop.lineno),
    ]
    line = script.original_line(loop.lineno) or 1
    return Lowered(edits, [Note("engineering", line, "the batches are the places of the list")])
