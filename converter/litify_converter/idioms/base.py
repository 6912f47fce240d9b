"""What an idiom is."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from litify_converter.ir import Item, Moved, New, Plan, Scope
from litify_converter.read import Script
from litify_converter.variables import edited
from litify_linter.reading.scopes import Function


class Unproven(Exception):
    """A condition of an idiom does not hold; the general form stays. `node` is where."""

    def __init__(self, condition: str, node: ast.AST | None = None) -> None:
        super().__init__(condition)
        self.line = getattr(node, "lineno", 0)


class Idiom:
    """A rewrite of the plan. `before` and `after` show it, and are its tests.

    `apply` changes the plan only after every condition is proven; it raises Unproven where one is not, and returns
    False where there is nothing to rewrite.
    """

    name = ""
    before = ""
    after = ""

    def apply(self, script: Script, plan: Plan) -> bool:
        """Rewrite the plan."""
        raise NotImplementedError


def hook_items(plan: Plan, *names: str) -> Iterator[tuple[str, Item]]:
    """The items of the named hooks (all of them where none is named)."""
    for name in names or tuple(plan.hooks):
        if name in plan.hooks:
            for item in plan.hooks[name].items:
                yield name, item


def code_of(item: Item, plan: Plan) -> tuple[Scope, list[ast.stmt]]:
    """An item as the plan leaves it: statements, and the scope of their names."""
    match item:
        case Moved(scope, statement):
            return scope, edited(statement, plan)
        case New(scope, text):
            return scope, ast.parse(text).body
    return item.value_scope, [ast.Expr(item.value)]


def body_without_docstring(function: Function) -> list[ast.stmt]:
    """A function's statements, its docstring left out."""
    body = list(function.body)
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        return body[1:]
    return body
