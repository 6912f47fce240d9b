"""`train(*random_batch())`: what is handed on at once gets the names of the parameters."""

from __future__ import annotations

import ast

from litify_converter.blocks import statements_of
from litify_converter.ir import Scope
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text
from litify_converter.read import Script
from litify_converter.ways import Search
from litify_linter.reading.scopes import Function, bound, read


class Starred(Lowering):
    """`a, b = random_batch()` before `train(a, b)`, where the function that trains has no other parameters left."""

    name = "starred"
    words = ("(*", ", *")

    def find(self, script: Script) -> Lowered | None:
        search = Search(script)
        for scope in [script.tree, *script.roles.functions.values(), *script.roles.owner]:
            for statement in statements_of(scope.body):
                match statement:
                    case (
                        ast.Expr(value=ast.Call() as call)
                        | ast.Assign(value=ast.Call() as call)
                        | ast.AugAssign(value=ast.Call() as call)
                    ):
                        function = script.roles.callee(call, scope)
                        if function is not None and search.steps_below(function):
                            found = _named(script, statement, call, function, scope)
                            if found is not None:
                                return found
        return None


def _named(
    script: Script, statement: ast.stmt, call: ast.Call, function: Function, scope: Scope
) -> Lowered | None:
    text = Text(script.text)
    if (
        call.keywords
        or not call.args
        or function.args.vararg
        or function.args.kwarg
        or function.args.defaults
    ):
        return None
    first, last = call.args[:-1], call.args[-1]
    if not isinstance(last, ast.Starred) or any(not isinstance(a, ast.Name | ast.Constant) for a in first):
        return None
    own = [*function.args.posonlyargs, *function.args.args]
    skipped = 1 if function in script.roles.owner and own and own[0].arg == "self" else 0
    names = [a.arg for a in own[skipped + len(first) :]]
    taken = bound(scope.body) | read(scope.body) | bound(script.tree.body)
    if len(names) < 2 or text.lines[statement.lineno - 1][: statement.col_offset].strip():
        return None
    targets = ", ".join(f"{n}_" if n in taken else n for n in names)
    start = text.start(statement)
    unpacked = f"{targets} = {text.of(last.value)}\n{text.indent(statement)}"
    return Lowered([Edit(start, start, unpacked), text.replace(last, targets)])
