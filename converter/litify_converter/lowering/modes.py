"""`run_epoch(loader, optimizer)` and `run_epoch(val_loader, None)`: one function that trains or evaluates becomes two."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from litify_converter.ir import Note, Scope
from litify_converter.lowering.base import (
    Edit,
    Lowered,
    Lowering,
    Text,
    apply,
    header_end,
    inside_strings,
    shifted,
)
from litify_converter.lowering.folding import Constant, specialised, truth
from litify_converter.read import Script
from litify_converter.ways import Search, first_loop, from_loop
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, bound, parameters, read, walk_scope


class Modes(Lowering):
    """Calls that can't reach the optimizer step get a function of their own; so do calls of other training loops."""

    name = "modes"
    words = ("def ",)

    def find(self, script: Script) -> Lowered | None:
        search = Search(script)
        calls = _calls(script, search)
        for function, found in calls.items():
            if len(found) > 1 and (lowered := _evaluating(script, function, found)) is not None:
                return lowered
            if len(found) == 1 and (lowered := _always_given(script, function, *found[0])) is not None:
                return lowered
        several = {f: found for f, found in calls.items() if len(found) > 1}
        return _for_each_loop(script, search, several) if several else None


Calls = list[tuple[ast.Call, Scope]]


def _calls(script: Script, search: Search) -> dict[Function, Calls]:
    """Top-level functions that train, with all their calls, where nothing else is done with them."""
    roles = script.roles
    every = [f for f in script.tree.body if isinstance(f, ast.FunctionDef) and not f.decorator_list]
    every = [f for f in every if roles.functions.get(f.name) is f and search.steps_below(f)]
    names = [n.id for n in ast.walk(script.tree) if isinstance(n, ast.Name)] if every else []
    found: dict[Function, Calls] = {f: [] for f in every}
    for scope in [script.tree, *roles.functions.values(), *roles.owner] if every else []:
        for node in walk_scope(scope.body):
            if isinstance(node, ast.Call) and (callee := roles.callee(node, scope)) in found:
                found[callee].append((node, scope))
    return {f: calls for f, calls in found.items() if len(calls) == names.count(f.name)}


@dataclass(frozen=True)
class _Body:
    """A function's body as text of its own, and where it stands."""

    first: int
    last: int
    indent: str
    block: str


def _body(text: Text, function: Function) -> _Body | None:
    body = function.body
    ends = [getattr(n, "end_lineno", 0) for n in ast.walk(function.args)]
    first = header_end(text, body, max([function.lineno, *ends])) + 1
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):  # the docstring
        body, first = body[1:], (body[0].end_lineno or 0) + 1
    if not body or first > body[0].lineno or inside_strings(ast.Module(body, [])):
        return None
    last = function.end_lineno or function.lineno
    return _Body(first, last, text.indent(body[0]), shifted(text, body, first, last, ""))


def _indented(block: str, indent: str) -> str:
    return "".join(indent + line if line.strip() else line for line in block.splitlines(keepends=True))


# -- calls that evaluate -------------------------------------------------------------------------------------------------


def _evaluating(script: Script, function: Function, calls: Calls) -> Lowered | None:
    """A copy of the function for calls with a constant that keeps it from the step."""
    text = Text(script.text)
    body = _body(text, function)
    if body is None:
        return None
    made: dict[int, tuple[str, str]] = {}  # id of a call -> the parameter that is constant, the body then
    for call, _ in calls:
        for name, value in _constants(script, function, call).items():
            block = _decided(body.block, name, value) if name not in bound(function.body) else None
            if block is not None and ".step(" not in block and ".backward(" not in block:
                made[id(call)] = (name, block)
    if not made or len(made) == len(calls) or len(set(made.values())) > 1:
        return None
    name, block = next(iter(made.values()))
    new = _free(script, f"{function.name}_eval")
    head = "".join(text.lines[function.lineno - 1 : body.first - 1])
    head = re.sub(rf"\b{function.name}\b", new, head, count=1)
    copy = f"\n\n{head}{_indented(block, body.indent)}"
    edits = [Edit((body.last + 1, 0), (body.last + 1, 0), copy, function.lineno)]
    edits += [text.replace(call.func, new) for call, _ in calls if id(call) in made]
    note = Note(
        "engineering", script.original_line(function.lineno) or 1, f"`{name}` tells training from evaluation"
    )
    return Lowered(edits, [note])


def _constants(script: Script, function: Function, call: ast.Call) -> dict[str, Constant]:
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return {}
    own = [*function.args.posonlyargs, *function.args.args]
    defaults = function.args.defaults
    values = dict(zip([a.arg for a in own][len(own) - len(defaults) :], defaults, strict=True))
    values |= {
        a.arg: d for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True) if d
    }
    values |= script.roles.arguments(call, function)
    return {
        n: v.value
        for n, v in values.items()
        if isinstance(v, ast.Constant) and isinstance(v.value, str | bool | None)
    }


def _decided(block: str, name: str, value: Constant) -> str | None:
    """The block where a name is a constant, and with it flags such as `training = optimizer is not None`."""
    tree = ast.parse(block)
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=flag)], value=test) if (
                found := truth(test, name, value)
            ) is not None and sum(flag in bound(s) for s in tree.body) == 1:
                text = Text(block)
                rest = apply(block, range(1, len(text.lines) + 1), [text.remove(statement)])[0]
                made = specialised(rest, flag, found) if ast.parse(rest).body else None
                return _decided(made, name, value) if made is not None else None
    return specialised(block, name, value)


# -- a call that always trains -------------------------------------------------------------------------------------------


def _always_given(script: Script, function: Function, call: ast.Call, scope: Scope) -> Lowered | None:
    """`optimizer is not None` in a function whose only call gives it one."""
    given = script.roles.arguments(call, function)
    optimizers = {
        n
        for n, v in given.items()
        if n in parameters(function)
        and script.roles.of(v, scope) is Role.OPTIMIZER
        and n not in bound(function.body)
    }
    text = Text(script.text)
    body = _body(text, function)
    asks = [
        n
        for n in walk_scope(function.body)
        if isinstance(n, ast.Compare)
        and isinstance(n.left, ast.Name)
        and n.left.id in optimizers
        and isinstance(n.ops[0], ast.Is | ast.IsNot)
        and ast.unparse(n.comparators[0]) == "None"
    ]
    if not asks or body is None:
        return None
    flag = _free(script, "is_given")
    tests = {n: flag if isinstance(n.ops[0], ast.IsNot) else f"not {flag}" for n in asks}
    edits = [text.replace(n, new) for n, new in tests.items()]
    whole, _ = apply(script.text, range(1, len(text.lines) + 1), edits)
    function = next(
        f for f in ast.parse(whole).body if isinstance(f, ast.FunctionDef) and f.name == function.name
    )
    again = _body(Text(whole), function)
    made = _decided(again.block, flag, True) if again is not None else None
    if made is None:
        return None
    return Lowered([Edit((body.first, 0), (body.last + 1, 0), _indented(made, body.indent))])


# -- calls of several loops ------------------------------------------------------------------------------------------------


def _for_each_loop(script: Script, search: Search, several: dict[Function, Calls]) -> Lowered | None:
    """A copy of a function for the second of two loops that train by it."""
    ways = [way for way in search.ways() if first_loop(way) is not None]
    cut, _ = from_loop(ways, script)
    users: dict[Function, dict[int, set[int]]] = {}  # function -> loop -> ids of its calls there
    for way in cut:
        for turn in way:
            if turn.call is not None and turn.call.function in several:
                loops = users.setdefault(turn.call.function, {})
                loops.setdefault(id(way[0].statement), set()).add(id(turn.call.call))
    for function, loops in users.items():
        first, *others = loops.values()
        if not others or any(len(calls) != 1 for calls in loops.values()) or first & others[0]:
            continue
        text = Text(script.text)
        new = _free(script, f"{function.name}_2")
        source = text.source(function.lineno, function.end_lineno or 0)
        copy = re.sub(rf"\b{function.name}\b", new, source.rstrip("\n") + "\n", count=1)
        end = (function.end_lineno or 0) + 1
        edits = [Edit((end, 0), (end, 0), f"\n\n{copy}", function.lineno)]
        edits += [text.replace(call.func, new) for call, _ in several[function] if id(call) in others[0]]
        return Lowered(edits)
    return None


def _free(script: Script, name: str) -> str:
    taken = bound(script.tree.body) | read(script.tree.body)
    return next(n for n in (name, *(f"{name}_{i}" for i in range(2, 100))) if n not in taken)
