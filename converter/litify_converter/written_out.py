"""Writing out a call: parameters take their arguments, the caller's names take the result."""

from __future__ import annotations

import ast
import copy

from litify_converter.ir import Bind, Call, Item, New
from litify_converter.read import Script
from litify_converter.refusals import StepElsewhere


def take_arguments(script: Script, call: Call) -> list[Item]:
    """`parameter = argument` for each parameter; those that only rename a variable vanish later."""
    function = call.function
    arguments = function.args
    if arguments.vararg or arguments.kwarg or any(isinstance(a, ast.Starred) for a in call.call.args):
        raise StepElsewhere(f"{function.name}() takes * or ** arguments", function)
    given = script.roles.arguments(call.call, function)
    if isinstance(call.call.func, ast.Attribute) and function in script.roles.owner:
        own = [*arguments.posonlyargs, *arguments.args]
        if own and own[0].arg not in given:
            given[own[0].arg] = call.call.func.value  # self
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = dict(
        zip([a.arg for a in positional][-len(arguments.defaults) :], arguments.defaults, strict=False)
    )
    defaults |= {a.arg: d for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d}
    items: list[Item] = []
    for name in [a.arg for a in [*positional, *arguments.kwonlyargs]]:
        target = ast.Name(name, ast.Store())
        if name in given:
            items.append(Bind(function, target, call.caller, given[name]))
        elif name in defaults:
            items.append(Bind(function, target, script.tree, defaults[name]))
        else:
            raise StepElsewhere(f"{function.name}() is called without its argument {name}", call.call)
    return items


def take_result(call: Call, result: ast.expr | None) -> list[Item]:
    """What the caller's statement does with the result of a function that is written out."""
    value = result if result is not None else ast.Constant(None)
    match call.statement:
        case ast.Expr(value=ast.Call() as only) if only is call.call:
            return []
        case ast.Assign(targets=[target], value=ast.Call() as only) if only is call.call:
            return [Bind(call.caller, target, call.function, value, of_result=True)]
    # The call is a part of a larger expression: name the result, then run the statement with the name.
    name = f"{call.function.name}_result"
    text = ast.unparse(_Replace(call.call, ast.Name(name, ast.Load())).visit(copy.deepcopy(call.statement)))
    target = ast.Name(name, ast.Store())
    return [
        Bind(call.caller, target, call.function, value, of_result=True),
        New(call.caller, text, call.statement),
    ]


class _Replace(ast.NodeTransformer):
    """Puts `new` in the place of the expression that stands where `old` does."""

    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self.place = (old.lineno, old.col_offset, old.end_lineno, old.end_col_offset)
        self.new = new

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Call) and self.place == (
            node.lineno,
            node.col_offset,
            node.end_lineno,
            node.end_col_offset,
        ):
            return self.new
        return self.generic_visit(node)
