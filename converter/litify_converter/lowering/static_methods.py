"""Static methods that train are functions that stand in a class: they move out of it."""

from __future__ import annotations

import ast

from litify_converter.lowering.base import Lowered, Lowering, Text, inside_strings
from litify_converter.read import Script
from litify_converter.ways import Search
from litify_linter.reading.imports import dotted
from litify_linter.reading.scopes import Function, bound


class StaticMethods(Lowering):
    """`Trainer.train_one_epoch(...)`, a static method of a class that nothing inherits from."""

    name = "static methods"
    words = ("staticmethod",)

    def find(self, script: Script) -> Lowered | None:
        search = Search(script)
        for node in script.tree.body:
            if isinstance(node, ast.ClassDef) and not _has_heirs(node, script):
                methods = [s for s in node.body if isinstance(s, Function) and _is_static(s)]
                if any(search.steps_below(m) for m in methods):
                    return _moved_out(script, node, methods)
        return None


def _is_static(method: Function) -> bool:
    """Whether the outermost decorator is `@staticmethod`."""
    return [dotted(d) for d in method.decorator_list[:1]] == ["staticmethod"]


def _has_heirs(node: ast.ClassDef, script: Script) -> bool:
    return any(
        isinstance(n, ast.Name) and n.id == node.name
        for other in ast.walk(script.tree)
        if isinstance(other, ast.ClassDef)
        for base in other.bases
        for n in ast.walk(base)
    )


def _moved_out(script: Script, node: ast.ClassDef, methods: list[Function]) -> Lowered | None:
    """The static methods that are only called by the class's name, as functions before it."""
    text = Text(script.text)
    taken = bound(script.tree.body) | {n.id for n in ast.walk(script.tree) if isinstance(n, ast.Name)}
    names = {m.name: m.name if m.name not in taken else f"{node.name}_{m.name}" for m in methods}
    calls = [
        n
        for n in ast.walk(script.tree)
        if isinstance(n, ast.Attribute) and n.attr in names and _names_class(n.value, node.name)
    ]
    others = [
        n for n in ast.walk(node) if isinstance(n, ast.Attribute) and n.attr in names and n not in calls
    ]
    if others or any(name in taken for name in names.values()):
        return None
    places: dict[ast.expr, str] = {n: names[n.attr] for n in calls}
    lowered = Lowered()
    gone: list[ast.stmt] = [*methods] if len(methods) < len(_statements(node)) else [node]
    for method in methods:
        lowered.edits.append(
            text.insert(text.first_line(node), _function(text, method, names, places) + "\n\n", method.lineno)
        )
    lowered.edits += [text.remove(s) for s in gone]
    inside = {id(n) for m in methods for n in ast.walk(m)}
    lowered.edits += [text.replace(n, name) for n, name in places.items() if id(n) not in inside]
    return lowered


def _statements(node: ast.ClassDef) -> list[ast.stmt]:
    return [s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]


def _names_class(value: ast.expr, name: str) -> bool:
    return isinstance(value, ast.Name) and value.id == name


def _function(text: Text, method: Function, names: dict[str, str], places: dict[ast.expr, str]) -> str:
    """The source of a static method as a function."""
    decorators = method.decorator_list[1:]
    first = decorators[0].lineno if decorators else method.lineno
    lines = text.rewritten(first, method.end_lineno or first, places)
    indent = text.indent(method)
    fixed = {line - first for line in inside_strings(method)}
    lines = [
        line[len(indent) :] if line.startswith(indent) and i not in fixed else line
        for i, line in enumerate(lines)
    ]
    head = method.lineno - first
    lines[head] = lines[head].replace(f"def {method.name}", f"def {names[method.name]}", 1)
    return "".join(lines).rstrip("\n") + "\n"
