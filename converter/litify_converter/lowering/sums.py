"""Sums over batches in their plainest form: one name a line, lengths written where they are used."""

from __future__ import annotations

import ast

from litify_converter.iterables import Peel
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text
from litify_converter.read import Script
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, bound, walk_scope


class Sums(Lowering):
    """`total, correct = 0, 0` and `size = len(loader.dataset)` in the functions that train and evaluate."""

    name = "sums"
    words = ("= 0, 0", "= 0.0, 0", "len(")

    def find(self, script: Script) -> Lowered | None:
        text = Text(script.text)
        for function in script.roles.functions.values():
            peel = Peel(script.imports)
            loops = [n for n in walk_scope(function.body) if isinstance(n, ast.For)]
            if not any(script.roles.of(peel(n.iter)[0], function) is Role.LOADER for n in loops):
                continue
            for statement in function.body:
                edits = _one_a_line(text, statement) or _length(text, statement, function)
                if edits:
                    return Lowered(edits)
        return None


def _one_a_line(text: Text, statement: ast.stmt) -> list[Edit]:
    """`total, correct = 0, 0`."""
    match statement:
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(names) == len(
            values
        ):
            plain = all(isinstance(n, ast.Name) for n in names)
            if plain and all(isinstance(v, ast.Constant) and v.value == 0 for v in values):
                pairs = [f"{text.of(n)} = {text.of(v)}" for n, v in zip(names, values, strict=True)]
                return [text.replace(statement, f"\n{text.indent(statement)}".join(pairs))]
    return []


def _length(text: Text, statement: ast.stmt, function: Function) -> list[Edit]:
    """`size = len(loader.dataset)`, where neither changes."""
    match statement:
        case ast.Assign(
            targets=[ast.Name(id=name)],
            value=ast.Call(
                func=ast.Name(id="len"),
                args=[ast.Name(id=over) | ast.Attribute(value=ast.Name(id=over), attr="dataset")],
            ) as length,
        ):
            others = [s for s in function.body if s is not statement]
            if {name, over} & bound(others) or name in (a.arg for a in function.args.args):
                return []
            uses = [n for s in others for n in ast.walk(s) if isinstance(n, ast.Name) and n.id == name]
            strings = {
                id(n)
                for s in others
                for j in ast.walk(s)
                if isinstance(j, ast.JoinedStr)
                for n in ast.walk(j)
            }
            if not uses or any(id(n) in strings for n in uses):
                return []
            return [text.remove(statement), *(text.replace(n, text.of(length)) for n in uses)]
    return []
