"""`if epoch <= resume_epoch: continue`: the epochs that were trained before are left out where the loop starts."""

from __future__ import annotations

import ast

from litify_converter.blocks import statements_of
from litify_converter.ir import Note, Scope
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text, header_end, inside_strings, shifted
from litify_converter.plan import jumps
from litify_converter.read import Script
from litify_converter.ways import Search, first_loop, from_loop
from litify_linter.reading.scopes import bound, read


class SkippedEpochs(Lowering):
    """The loop starts with the first epoch that trains; what the others do before they are skipped stands before it."""

    name = "skipped-epochs"
    words = ("continue",)

    def find(self, script: Script) -> Lowered | None:
        scopes = [script.tree, *script.roles.functions.values(), *script.roles.owner]
        loops = [(s, loop) for s in scopes for loop in statements_of(s.body) if isinstance(loop, ast.For)]
        candidates = [(scope, loop) for scope, loop in loops if _guard(loop) is not None]
        if not candidates:
            return None
        ways = [way for way in Search(script).ways() if first_loop(way) is not None]
        cut, _ = from_loop(ways, script)
        trained = {id(way[0].statement): way[1].statement for way in cut if len(way) > 1}
        for scope, loop in candidates:
            if id(loop) in trained:
                found = _started_late(script, scope, loop, trained[id(loop)])
                if found is not None:
                    return found
        return None


def _guard(loop: ast.For) -> tuple[int, list[ast.expr]] | None:
    """The place of the statement in the loop's body that skips an epoch, and its conditions, which all have to hold."""
    match loop:
        case ast.For(
            target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range"), args=[_] | [_, _]), orelse=[]
        ):
            pass
        case _:
            return None
    for at, statement in enumerate(loop.body):
        tests = _tests(statement)
        if tests is not None and any(_is_first_part(test, name) for test in tests):
            return at, tests
        if jumps(statement):
            return None
    return None


def _tests(statement: ast.stmt) -> list[ast.expr] | None:
    """The conditions of `if a: if b: continue`."""
    match statement:
        case ast.If(test=test, body=[ast.Continue()], orelse=[]):
            return [test]
        case ast.If(test=test, body=[ast.If() as inner], orelse=[]):
            tests = _tests(inner)
            return [test, *tests] if tests is not None else None
    return None


def _is_first_part(test: ast.expr, name: str) -> bool:
    """`epoch < x`: true of the first epochs, of none after one of which it is false."""
    match test:
        case ast.Compare(left=ast.Name(id=left), ops=[ast.Lt() | ast.LtE()], comparators=[limit]):
            return left == name and name not in read(limit)
        case ast.Compare(left=limit, ops=[ast.Gt() | ast.GtE()], comparators=[ast.Name(id=right)]):
            return right == name and name not in read(limit)
    return False


def _started_late(script: Script, scope: Scope, loop: ast.For, training: ast.stmt) -> Lowered | None:
    guard = _guard(loop)
    if guard is None or not isinstance(loop.target, ast.Name) or not isinstance(loop.iter, ast.Call):
        return None
    at, tests = guard
    name, before = loop.target.id, loop.body[:at]
    others = [test for test in tests if not _is_first_part(test, name)]
    changed = bound(loop.body) | {name}
    limits = read(tests) - {name}
    if training in before or limits & changed or any(name in read(test) for test in others):
        return None
    if any(isinstance(n, ast.Call | ast.NamedExpr | ast.Await) for test in tests for n in ast.walk(test)):
        return None
    if loop.body[0].lineno == loop.lineno or inside_strings(ast.Module(before, [])):
        return None
    text = Text(script.text)
    taken = {n.id for n in ast.walk(script.tree) if isinstance(n, ast.Name)} | bound(scope.body)
    first_name = next(n for n in ("first_epoch", "first_epoch_", "first_epoch__") if n not in taken)
    lower, upper = (
        ("0", text.of(loop.iter.args[0])) if len(loop.iter.args) == 1 else map(text.of, loop.iter.args)
    )
    parts = [f"({text.of(t)})" if isinstance(t, ast.BoolOp) and len(tests) > 1 else text.of(t) for t in tests]
    test = " and ".join(parts)
    every = text.of(loop.iter)
    indent = text.indent(loop)
    lines = f"{indent}{first_name} = next(({name} for {name} in {every} if not ({test})), {upper})\n"
    if before:
        header = header_end(text, loop.body, loop.iter.end_lineno or loop.lineno)
        lines += f"{indent}for {name} in range({lower}, {first_name}):\n"
        lines += shifted(text, before, header + 1, before[-1].end_lineno or 0, text.indent(before[0]))
    edits = [
        Edit((loop.lineno, 0), (loop.lineno, 0), lines),
        text.replace(loop.iter, f"range({first_name}, {upper})"),
        text.remove(loop.body[at]),
    ]
    line = script.original_line(loop.body[at].lineno) or 1
    return Lowered(edits, [Note("engineering", line, "the loop starts with the first epoch that trains")])
