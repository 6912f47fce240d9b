"""Blocks of statements: walking them, and what stands in them."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.scopes import Function


def inner_blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    """The blocks of statements inside a compound statement, in order."""
    blocks = [getattr(statement, name, []) for name in ("body",)]
    blocks += [handler.body for handler in getattr(statement, "handlers", [])]
    blocks += [case.body for case in getattr(statement, "cases", [])]
    blocks += [getattr(statement, name, []) for name in ("orelse", "finalbody")]
    return [block for block in blocks if block]


def own_calls(statement: ast.stmt) -> list[ast.Call]:
    """Calls that the statement itself makes: those of its expressions, not of its blocks."""
    inner = {id(s) for block in inner_blocks(statement) for s in block}
    calls = []
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        if id(node) in inner or (
            isinstance(node, Function | ast.ClassDef | ast.Lambda) and node is not statement
        ):
            continue
        if isinstance(node, ast.Call):
            calls.append(node)
        stack.extend(reversed(list(ast.iter_child_nodes(node))))
    return calls


def statements_of(body: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    """All statements of a scope, in order, nested blocks too; functions and classes are not entered."""
    for statement in body:
        yield statement
        if isinstance(statement, Function | ast.ClassDef):
            continue
        for name in ("body", "orelse", "finalbody"):
            block = getattr(statement, name, None)
            if isinstance(block, list):
                yield from statements_of(block)
        for handler in getattr(statement, "handlers", []):
            yield from statements_of(handler.body)


def shallow(statement: ast.stmt) -> list[ast.AST]:
    """What a statement itself executes, without the statements inside it."""
    if not isinstance(getattr(statement, "body", None), list) or isinstance(
        statement, Function | ast.ClassDef
    ):
        return [statement]
    return [n for n in ast.iter_child_nodes(statement) if not isinstance(n, ast.stmt | ast.ExceptHandler)]


def after_loop(body: list[ast.stmt], outer: ast.stmt) -> list[ast.stmt]:
    """The statements that run after a loop: those behind it in its own block, then in the blocks around."""
    for at, statement in enumerate(body):
        if statement is outer:
            return body[at + 1 :]
        if any(n is outer for n in ast.walk(statement)):
            inner: list[ast.stmt] = []
            for name in ("body", "orelse", "finalbody"):
                inner += after_loop(getattr(statement, name, []), outer)
            if isinstance(statement, ast.For | ast.While):  # the next round
                inner += [*statement.body, *statement.orelse]
            return inner + list(getattr(statement, "finalbody", [])) + body[at + 1 :]
    return []


def around_loop(body: list[ast.stmt], outer: ast.stmt) -> list[ast.stmt]:
    """Statements that surely run once, if the loop does: of the entry's body, and of the blocks around the loop."""
    found: list[ast.stmt] = []
    for statement in body:
        found.append(statement)
        holds = statement is not outer and any(n is outer for n in ast.walk(statement))
        if holds and isinstance(statement, ast.If | ast.With | ast.Try):
            found += around_loop(statement.body, outer)
    return found


def beside_loop(body: list[ast.stmt], outer: ast.stmt) -> list[ast.stmt]:
    """Statements that run whenever the loop does, and only then: of its own block, and of those that it only opens."""
    for statement in body:
        if statement is outer:
            return list(body)
        if not any(n is outer for n in ast.walk(statement)):
            continue
        for block in inner_blocks(statement):
            if found := beside_loop(block, outer):
                opened = isinstance(statement, ast.With | ast.Try) or is_guard(statement)
                return (
                    [*body, *found] if opened and block is not getattr(statement, "orelse", None) else found
                )
    return []


def is_guard(statement: ast.stmt) -> bool:
    """`if __name__ == "__main__":`"""
    match statement:
        case ast.If(
            test=ast.Compare(left=ast.Name(id="__name__"), comparators=[ast.Constant(value="__main__")]),
            orelse=[],
        ):
            return True
    return False
