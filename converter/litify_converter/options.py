"""The command-line options of a script: what argparse says about type and default of a hyperparameter."""

from __future__ import annotations

import ast
from collections.abc import Sequence

TYPES = {"int", "float", "str", "bool"}


def options(tree: ast.Module) -> dict[str, tuple[str, str | None]]:
    """Option (as it is read from the parsed arguments) -> its type, and its default as source text or None."""
    found: dict[str, tuple[str, str | None]] = {}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "add_argument"
        ):
            name = _destination(node)
            kind, default = _type_and_default(node)
            if name is not None and kind is not None:
                found[name] = (kind, default)
    return found


def signature(names: Sequence[str], known: dict[str, tuple[str, str | None]]) -> list[str]:
    """Parameters as they are written: `lr: float = 1.0`; defaults only where every parameter has one."""
    all_have = all(name in known and known[name][1] is not None for name in names)
    parameters = []
    for name in names:
        kind, default = known.get(name, (None, None))
        annotated = f"{name}: {kind}" if kind is not None else name
        parameters.append(f"{annotated} = {default}" if all_have else annotated)
    return parameters


def _destination(call: ast.Call) -> str | None:
    for keyword in call.keywords:
        if keyword.arg == "dest" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    flags = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    long = [f for f in flags if f.startswith("--")] or [f for f in flags if not f.startswith("-")] or flags
    return long[0].lstrip("-").replace("-", "_") if long else None


def _type_and_default(call: ast.Call) -> tuple[str | None, str | None]:
    given = {k.arg: k.value for k in call.keywords}
    action = given.get("action")
    if isinstance(action, ast.Constant) and action.value in ("store_true", "store_false"):
        return "bool", str(action.value == "store_false")
    if {"nargs", "action"} & set(given):
        return None, None
    kind, default = given.get("type"), given.get("default")
    constant = default if isinstance(default, ast.Constant) and default.value is not None else None
    if isinstance(kind, ast.Name) and kind.id in TYPES - {
        "bool"
    }:  # type=bool means something else to argparse
        return kind.id, _literal(constant, kind.id)
    if kind is None and constant is not None and type(constant.value).__name__ in TYPES:
        return type(constant.value).__name__, ast.unparse(constant)
    return None, None


def _literal(constant: ast.Constant | None, kind: str) -> str | None:
    if constant is None:
        return None
    value = constant.value
    fits = isinstance(value, int | float) if kind == "float" else type(value).__name__ == kind
    return ast.unparse(constant) if fits and not isinstance(value, bool) else None
