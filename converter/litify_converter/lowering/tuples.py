"""`model, data = Net().to(device), data.to(device)`: a network, or what trains it, gets a line of its own."""

from __future__ import annotations

import ast

from litify_converter.blocks import statements_of
from litify_converter.lowering.base import Lowered, Lowering, Text
from litify_converter.read import Script
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, free, read

OWN_LINE = (Role.MODEL, Role.OPTIMIZER, Role.SCHEDULER, Role.CRITERION)


class Tuples(Lowering):
    """One assignment a line, where no value is found out with a name that stands to the left of it."""

    name = "tuples"
    words = ("Net", "odel", "nn.", "optim", "Loss", ".to(", ".cuda(")

    def find(self, script: Script) -> Lowered | None:
        text = Text(script.text)
        for scope in [script.tree, *script.roles.functions.values()]:
            for statement in statements_of(scope.body):
                match statement:
                    case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(
                        names
                    ) == len(values):
                        roles = {script.roles.of(n, scope) for n in names}
                        if (
                            roles & set(OWN_LINE)
                            and _apart(script, names, values)
                            and _alone(text, statement)
                        ):
                            pairs = [
                                f"{text.of(n)} = {text.of(v)}" for n, v in zip(names, values, strict=True)
                            ]
                            lines = f"\n{text.indent(statement)}".join(pairs)
                            return Lowered([text.replace(statement, lines)])
        return None


def _apart(script: Script, names: list[ast.expr], values: list[ast.expr]) -> bool:
    """Whether binding one name before the next value is found out changes nothing."""
    targets = [n.id for n in names if isinstance(n, ast.Name)]
    if len(set(targets)) < len(names) or any(isinstance(v, ast.Starred) for v in values):
        return False
    return not any(set(targets[:number]) & _reached(script, v) for number, v in enumerate(values))


def _reached(script: Script, value: ast.expr) -> set[str]:
    """Names that finding out a value may read: its own, and those of functions and methods of the script below it."""
    functions = [*script.roles.functions.values(), *script.roles.owner]
    reached, new = set[str](), _mentioned(value)
    while new - reached:
        reached |= new
        inside = [f for f in functions if f.name in new or _class_of(script, f) in new]
        new = {n for f in inside for n in free(f) | _mentioned(f)}
    return reached


def _mentioned(node: ast.AST) -> set[str]:
    """Names that are read, and attributes: methods may be among them."""
    return read(node) | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def _class_of(script: Script, function: Function) -> str | None:
    node = script.roles.owner.get(function)
    return node.name if node is not None else None


def _alone(text: Text, statement: ast.stmt) -> bool:
    """Whether nothing else stands on the statement's lines."""
    (first, start), (last, end) = text.start(statement), text.end(statement)
    after = text.lines[last - 1][end:].strip()
    return not text.lines[first - 1][:start].strip() and (not after or after.startswith("#"))
