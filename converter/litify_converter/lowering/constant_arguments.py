"""`train(..., clip=None)`: branches that a constant argument decides are decided."""

from __future__ import annotations

import ast
from collections import Counter

from litify_converter.ir import Note
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text, header_end, inside_strings, shifted
from litify_converter.lowering.folding import Constant, decides, specialised
from litify_converter.read import Script
from litify_converter.ways import Search, first_loop, from_loop
from litify_linter.reading.scopes import Function, bound, walk_scope


class ConstantArguments(Lowering):
    """In a function that trains and is called once, parameters with constant arguments are constants."""

    name = "constant-arguments"
    words = ("def ",)

    def find(self, script: Script) -> Lowered | None:
        constants = {f: _constants(script, f, call) for f, call in _called_once(script).items()}
        if not any(constants.values()):
            return None
        ways = [way for way in Search(script).ways() if first_loop(way) is not None]
        cut, _ = from_loop(ways, script)
        inside = {turn.call.function for way in cut for turn in way[1:] if turn.call is not None}
        for function in [f for f in constants if f in inside and not f.decorator_list]:
            for name, value in constants[function].items():
                if name not in bound(function.body) and decides(function.body, name, value):
                    found = self._decided(script, function, name, value)
                    if found is not None:
                        return found
        return None

    def _decided(self, script: Script, function: Function, name: str, value: Constant) -> Lowered | None:
        text = Text(script.text)
        body, first = function.body, header_end(text, function.body, _head(function)) + 1
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):  # the docstring
            body, first = body[1:], (body[0].end_lineno or 0) + 1
        if not body or first > body[0].lineno or inside_strings(ast.Module(body, [])):
            return None
        last = function.end_lineno or function.lineno
        made = specialised(shifted(text, body, first, last, ""), name, value)
        if made is None:
            return None
        indent = text.indent(body[0])
        moved = "".join(indent + line if line.strip() else line for line in made.splitlines(keepends=True))
        line = script.original_line(function.lineno) or 1
        note = Note("engineering", line, f"`{name}` is always {value!r}")
        return Lowered([Edit((first, 0), (last + 1, 0), moved)], [note])


def _head(function: Function) -> int:
    """The line of the last parameter or of what the function returns."""
    ends = [getattr(n, "end_lineno", 0) for n in ast.walk(function.args)]
    return max([function.lineno, *ends, *([function.returns.end_lineno or 0] if function.returns else [])])


def _called_once(script: Script) -> dict[Function, ast.Call]:
    """Functions that the script names once only, in a call, and that call."""
    names = Counter(n.id for n in ast.walk(script.tree) if isinstance(n, ast.Name))
    calls: dict[Function, list[ast.Call]] = {f: [] for f in script.roles.functions.values()}
    for scope in [script.tree, *script.roles.functions.values(), *script.roles.owner]:
        for node in walk_scope(scope.body):
            if isinstance(node, ast.Call) and (callee := script.roles.callee(node, scope)) in calls:
                calls[callee].append(node)
    return {f: found[0] for f, found in calls.items() if len(found) == 1 and names[f.name] == 1}


def _constants(script: Script, function: Function, call: ast.Call) -> dict[str, Constant]:
    """Parameters that have one constant value, since the function is called once."""
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return {}
    arguments = function.args
    positional = [a.arg for a in [*arguments.posonlyargs, *arguments.args]]
    values = dict(
        zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True)
    )
    values |= {a.arg: d for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d}
    values |= script.roles.arguments(call, function)
    return {
        n: v.value
        for n, v in values.items()
        if isinstance(v, ast.Constant) and isinstance(v.value, str | int | float | bool | None)
    }
