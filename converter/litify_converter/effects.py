"""What a statement does besides computing: the facts that idioms need to move it."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from weakref import WeakKeyDictionary

from litify_converter.ir import Scope
from litify_converter.read import Script
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, free, function_locals, parameters, walk, walk_scope

# Functions that draw from a global random generator.
RANDOM = (
    "torch.rand", "torch.normal", "torch.bernoulli", "torch.multinomial", "torch.poisson", "torch.utils.data.random_split",
    "torch.nn.init.", "numpy.random.", "random.", "torch.manual_seed", "torch.cuda.manual_seed", "torch.seed",
    "sklearn.model_selection.",
)  # fmt: skip
RANDOM_METHODS = {
    "normal_", "uniform_", "random_", "bernoulli_", "exponential_", "bernoulli", "multinomial", "shuffle", "sample",
    "rsample", "permutation", "randint", "randn", "rand", "choice", "seed",
}  # fmt: skip
# What changes with an optimizer step, or changes it.
TRAINED = (Role.MODEL, Role.OPTIMIZER, Role.SCHEDULER, Role.SCALER)
_TRAINED: WeakKeyDictionary[ast.AST, frozenset[str]] = WeakKeyDictionary()  # scope -> `trained_names` there
# Methods that give parts of a model rather than what it computes.
PARTS = {
    "parameters", "named_parameters", "state_dict", "modules", "named_modules", "children", "named_children", "buffers",
    "named_buffers", "values", "items", "keys", "get_parameter", "get_submodule", "detach", "view", "to", "cuda", "cpu",
    "train", "eval", "float", "double", "half", "data_ptr", "module",
}  # fmt: skip
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
    trained = trained_names(script, scope)
    for node in walk_scope(statement):
        match node:
            case ast.Break() | ast.Continue() | ast.Return() | ast.Raise() | ast.Delete() | ast.Global():
                return False
            case ast.Attribute(attr="grad"):
                return False
            case ast.Call(func=ast.Attribute(attr=attr)) if attr.endswith("_") and not attr.endswith("__"):
                return False  # in place
            case ast.Call() if not _looking_call(node, script, scope):
                return False
    rates = {
        id(n) for node in walk_scope(statement) if _reads_rate(node, script, scope) for n in ast.walk(node)
    }
    return not any(
        isinstance(node, ast.Name | ast.Attribute) and dotted(node) in trained and id(node) not in rates
        for node in walk_scope(statement)
    )


def trained_names(script: Script, scope: Scope) -> set[str]:
    """Names of a scope that stand for something an optimizer step changes: models, optimizers, and parts of them.

    `w = net[0].weight` and `params = list(net.parameters())` count; what a model computes (`out = net(x)`) does not.
    """
    if scope not in _TRAINED:
        _TRAINED[scope] = frozenset(_trained_names(script, scope))
    return set(_TRAINED[scope])


def _trained_names(script: Script, scope: Scope) -> set[str]:
    names = {d for d in _dotted_names(scope) if _is_trained(d, script, scope)}
    while True:
        grown = {
            target.id
            for node in walk_scope(scope.body)
            if isinstance(node, ast.Assign) and _holds_part(node.value, names)
            for one in node.targets
            for target in ast.walk(one)
            if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
        } - names
        if not grown:
            return names
        names |= grown


def _dotted_names(scope: Scope) -> set[str]:
    return {d for node in walk(scope) if isinstance(node, ast.Name | ast.Attribute) and (d := dotted(node))}


def _is_trained(name: str, script: Script, scope: Scope) -> bool:
    return script.roles.of(ast.parse(name, mode="eval").body, scope) in TRAINED


def _holds_part(value: ast.expr, names: set[str]) -> bool:
    """Whether a value is, or is made of, parts of something trained, rather than what calling it computes."""
    match value:
        case ast.Name() | ast.Attribute() if dotted(value) in names:
            return True
        case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Starred(value=inner):
            return _holds_part(inner, names)
        case ast.Call(func=ast.Attribute(value=inner, attr=attr)) if attr in PARTS:
            return _holds_part(inner, names)
        case ast.Call(func=ast.Name(id="list" | "tuple" | "filter" | "dict" | "sorted"), args=args):
            return any(_holds_part(a, names) for a in args)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return any(_holds_part(e, names) for e in elements)
        case ast.BinOp(left=left, right=right):
            return _holds_part(left, names) or _holds_part(right, names)
        case ast.ListComp(generators=generators) | ast.GeneratorExp(generators=generators):
            return any(_holds_part(g.iter, names) for g in generators)
        case ast.IfExp(body=body, orelse=orelse):
            return _holds_part(body, names) or _holds_part(orelse, names)
    return False


def _reads_rate(node: ast.AST, script: Script, scope: Scope) -> bool:
    """`optimizer.param_groups[0]["lr"]` and `scheduler.get_last_lr()`, read: a step does not change them."""
    match node:
        case ast.Subscript(
            value=ast.Subscript(value=ast.Attribute(value=owner, attr="param_groups")), ctx=ast.Load()
        ):
            return script.roles.of(owner, scope) is Role.OPTIMIZER
        case ast.Call(func=ast.Attribute(value=owner, attr="get_last_lr" | "get_lr")):
            return script.roles.of(owner, scope) is Role.SCHEDULER
    return False


def _looking_call(call: ast.Call, script: Script, scope: Scope) -> bool:
    name = script.imports.resolve(call.func) or dotted(call.func) or ""
    if name in LOOKING or _reads_rate(call, script, scope):
        return True
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if (
        method in ("backward", "step", "zero_grad", "train", "eval")
        and script.imports.resolve(call.func) is None
    ):
        return False
    function = script.roles.callee(call, scope)
    if function is None:
        return not _calls_unknown_object(call, script, scope)
    return not _reaches_trained(function, script, frozenset())


def _calls_unknown_object(call: ast.Call, script: Script, scope: Scope) -> bool:
    """`net(x)` where a name that another file made may be the network."""
    if not isinstance(call.func, ast.Name) or script.roles.of(call.func, scope) is not None:
        return False
    name, place = call.func.id, scope
    while isinstance(place, Function) and name not in function_locals(place):
        outer = script.roles.outer.get(place)
        place = outer if isinstance(outer, Function) else script.tree
    return any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
        for node in walk_scope(place.body)
    ) or (isinstance(place, Function) and name in parameters(place))


def _reaches_trained(function: Function, script: Script, seen: frozenset[Function]) -> bool:
    """Whether a function reads something trained from outside of it, itself or through functions it calls."""
    outer = script.roles.outer.get(function)
    home: Scope = outer if isinstance(outer, ast.Module | Function) else script.tree
    if free(function) & trained_names(script, home) or any(
        d.startswith("self.") for d in trained_names(script, function)
    ):
        return True
    return any(
        callee not in seen and _reaches_trained(callee, script, seen | {function})
        for node in walk_scope(function.body)
        if isinstance(node, ast.Call) and (callee := script.roles.callee(node, function)) is not None
    )


def is_call_of(statement: ast.stmt, attribute: str) -> ast.Call | None:
    """The call, where the statement is nothing but `<something>.<attribute>(...)`."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=attr)) as call) if attr == attribute:
            return call
    return None
