"""What a statement does besides computing: the facts that idioms need to move it."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_converter.ir import Scope
from litify_converter.read import Script
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, free, walk_scope

# Functions that draw from a global random generator.
RANDOM = (
    "torch.rand", "torch.normal", "torch.bernoulli", "torch.multinomial", "torch.poisson", "torch.utils.data.random_split",
    "torch.nn.init.", "numpy.random.", "random.", "torch.manual_seed", "torch.seed", "sklearn.model_selection.",
)  # fmt: skip
RANDOM_METHODS = {
    "normal_", "uniform_", "random_", "bernoulli_", "exponential_", "bernoulli", "multinomial", "shuffle", "sample",
    "rsample", "permutation", "randint", "randn", "rand", "choice", "manual_seed", "seed",
}  # fmt: skip
# What changes with an optimizer step, or changes it.
TRAINED = (Role.MODEL, Role.OPTIMIZER, Role.SCHEDULER, Role.SCALER)
# Calls that only look at their arguments.
LOOKING = {
    "print", "len", "float", "int", "str", "round", "min", "max", "sum", "abs", "format", "range", "zip", "enumerate", "list",
    "tuple", "dict", "isinstance", "time.time", "datetime.datetime.now", "sorted", "bool", "repr", "math.exp", "math.log",
    "math.sqrt", "time.perf_counter",
}  # fmt: skip


def draws_random(nodes: ast.AST | Iterable[ast.AST], script: Script, scope: Scope) -> bool:
    """Whether the code may draw from a global random generator, functions of the script followed."""
    return any(
        _iterates_loader(node, script, scope)
        or (
            isinstance(node, ast.Call)
            and (_is_random(node, script) or _callee_draws(node, script, scope, frozenset()))
        )
        for node in walk_scope(nodes)
    )


def _iterates_loader(node: ast.AST, script: Script, scope: Scope) -> bool:
    """A loader draws its base seed, and its order where it shuffles, when it is iterated."""
    match node:
        case ast.For(iter=iterable) | ast.comprehension(iter=iterable):
            return script.roles.of(iterable, scope) is Role.LOADER
        case ast.Call(func=ast.Name(id="iter" | "next" | "enumerate" | "list" | "tuple" | "zip"), args=args):
            return any(script.roles.of(a, scope) is Role.LOADER for a in args)
    return False


def _is_random(call: ast.Call, script: Script) -> bool:
    name = script.imports.resolve(call.func) or ""
    if name.startswith(RANDOM):
        return not any(k.arg in ("random_state", "generator") for k in call.keywords)
    return isinstance(call.func, ast.Attribute) and call.func.attr in RANDOM_METHODS


def _callee_draws(call: ast.Call, script: Script, scope: Scope, seen: frozenset[Function]) -> bool:
    functions: list[Function] = []
    callee = script.roles.callee(call, scope)
    if callee is not None:
        functions = [callee]
    elif isinstance(call.func, ast.Name) and call.func.id in script.roles.classes:
        if script.roles.class_role(call.func.id) is Role.MODEL:
            return True  # first weights
        functions = [f for f in script.roles.classes[call.func.id].body if isinstance(f, Function)]
    for function in functions:
        if function in seen:
            continue
        for inner in walk_scope(function.body):
            if isinstance(inner, ast.Call) and (
                _is_random(inner, script) or _callee_draws(inner, script, function, seen | {function})
            ):
                return True
    return False


def only_looks(statement: ast.stmt, script: Script, scope: Scope) -> bool:
    """Whether a statement gives the same before and after an optimizer step, and changes nothing that trains.

    It may print, log, count, and call methods and functions that get nothing trained; it draws no random number.
    """
    if draws_random(statement, script, scope):
        return False
    for node in walk_scope(statement):
        match node:
            case ast.Break() | ast.Continue() | ast.Return() | ast.Raise() | ast.Delete() | ast.Global():
                return False
            case ast.Attribute(attr="grad" | "parameters" | "named_parameters" | "state_dict"):
                return False
            case ast.Call() if not _looking_call(node, script, scope):
                return False
    return True


def _looking_call(call: ast.Call, script: Script, scope: Scope) -> bool:
    name = script.imports.resolve(call.func) or dotted(call.func) or ""
    if name in LOOKING:
        return True
    roles = script.roles
    values: list[ast.expr] = [*call.args, *(k.value for k in call.keywords)]
    if isinstance(call.func, ast.Attribute) and script.imports.resolve(call.func) is None:
        if call.func.attr in ("backward", "step", "zero_grad", "train", "eval", "unscale_"):
            return False
        values.append(call.func.value)
    if any(roles.of(v, scope) in TRAINED for v in values):
        return False
    if roles.of(call.func, scope) in TRAINED:
        return False
    function = roles.callee(call, scope)
    if function is not None:
        outer = roles.outer.get(function)
        home: Scope = outer if isinstance(outer, ast.Module | Function) else script.tree
        return not any(roles.of(ast.Name(n, ast.Load()), home) in TRAINED for n in free(function))
    return True


def is_call_of(statement: ast.stmt, attribute: str) -> ast.Call | None:
    """The call, where the statement is nothing but `<something>.<attribute>(...)`."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=attr)) as call) if attr == attribute:
            return call
    return None
