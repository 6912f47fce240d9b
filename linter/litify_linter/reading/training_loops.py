"""Hand-written training loops: loops that reach a backward pass and an optimizer step, directly or through functions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from litify_linter.reading.file import File, inner_nodes
from litify_linter.reading.imports import dotted
from litify_linter.reading.scopes import Function, parameters

Loop = ast.For | ast.AsyncFor | ast.While
BACKWARD, UPDATE, DRIVEN = "backward", "update", "driven"
_BOTH = frozenset({BACKWARD, UPDATE})
# Every node of a file passes here: its exact class is asked for, which is cheaper than isinstance.
_LOOPS = {ast.For, ast.AsyncFor, ast.While}
_SCOPES = {ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef}
_ACTS = {ast.Call, ast.Assign, ast.AugAssign}
_OPTIMIZER = re.compile(r"opt|scaler|sgd|adam|solver", re.IGNORECASE)
_OPTIMIZER_CLASS = re.compile(r"(?:\w*Adam|SGD|LBFGS|RMSprop|Adagrad|Adadelta)(?:[A-Z]\w*)?$")
# Loops under these libraries have their engineering taken care of; with rpc, what is trained lives in other processes.
_OTHER_TRAINERS = (
    "accelerate",
    "deepspeed",
    "colossalai",
    "lightning.fabric",
    "lightning_fabric",
    "ignite",
    "adaptdl",
    "torch.distributed.rpc",
    "pytorch_lightning.lite",
)
# Loops and calls that take batches. A class that fits a model of its own, all data at once, is no script to convert.
_BATCHES = re.compile(r"load|data|batch|iter\b|train|_dl\b|queue")
_COUNTED_BATCHES = re.compile(r"len\(|batch")
_TAKES_BATCH = re.compile(r"(?:next|__next__|next_\w+|(?:get|load|fetch|read)_\w*batch\w*)")
# Methods of Python's own containers: an append() on something unknown is no call of a method of that name here.
_CONTAINERS = frozenset(name for kind in (list, dict, set, str) for name in dir(kind)) - {"update"}
_TESTS = ("unittest", "pytest")  # what is trained in a file of tests is trained for the test
# Names of files, and of the folder they lie in, whose loops check or measure something.
_NO_TRAINING = re.compile(
    r"(?:^|[/\\])(?:(?:unit)?tests?|testing|bench(?:mark(?:s|ing)?)?|profil\w*)[/\\][^/\\]*$"
)
_NO_TRAINING_FILE = re.compile(r"(?:^|[/\\])(?:test_|bench|profil)[^/\\]*$|_(?:test|bench|benchmark)\.\w+$")
_OTHER_TRAINER_NAMES = frozenset({"accelerator", "fabric"})


@dataclass
class _Scope:
    """A function, or the module: what it does itself and whom it calls."""

    node: ast.AST
    owner: ast.ClassDef | None = None  # the class it is a method of
    does: dict[int, set[str]] = field(
        default_factory=dict
    )  # index of an outermost loop, or -1 -> what happens there
    calls: dict[int, set[str]] = field(
        default_factory=dict
    )  # the same -> names of functions and methods called
    loops: list[Loop] = field(default_factory=list)  # outermost loops


def training_loops(file: File) -> list[Loop]:
    """The outermost loop of each function (or of the module) that trains by hand, outside Lightning classes.

    A loop whose training happens in a loop of a function it calls is left out in favour of that loop. Left out as well
    are loops that drive the step of a LightningModule (to measure it, say), loops over an input instead of weights, and
    loops in methods that take no batches: parts of another algorithm.
    """
    if _NO_TRAINING.search(file.path) or _NO_TRAINING_FILE.search(file.path):
        return []
    imported = file.imports.names.values()
    if any(name.startswith((*_OTHER_TRAINERS, *_TESTS)) or name.endswith(".Fabric") for name in imported):
        return []
    if (
        sum(_is_test(node) and not parameters(node) for node in file.tree.body if isinstance(node, Function))
        > 1
    ):
        return []  # a file of tests that pytest collects
    scopes = _scopes(file)
    by_name: dict[str, list[_Scope]] = {}
    for scope in scopes:
        if isinstance(scope.node, Function):
            by_name.setdefault(scope.node.name, []).append(scope)
    reach = _Reach(by_name)
    found = []
    for scope in scopes:
        for index, loop in enumerate(scope.loops):
            happens = reach.of_loop(scope, index)
            if not happens >= _BOTH or DRIVEN in happens or reach.trains_below(scope, index):
                continue
            if not (_changes_an_input(scope, file) or (scope.owner is not None and not _takes_batches(loop))):
                found.append(loop)
    return found


def _takes_batches(loop: Loop) -> bool:
    """Whether a loop, or one in it, goes over batches, or asks for the next one."""
    for node in ast.walk(loop):
        match node:
            case ast.For(iter=iterable) | ast.AsyncFor(iter=iterable):
                ranged = [
                    n for n in ast.walk(iterable) if isinstance(n, ast.Name) and n.id in {"range", "trange"}
                ]
                if (_COUNTED_BATCHES if ranged else _BATCHES).search(ast.unparse(iterable)):
                    return True
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if _TAKES_BATCH.fullmatch(name):
                return True
    return False


def _changes_an_input(scope: _Scope, file: File) -> bool:
    """Whether every optimizer of the function, or else of the file, has one tensor alone: `Adam([image])`."""
    every = [node for node, _ in file.nodes.get(ast.Call, ()) if isinstance(node, ast.Call)]
    made = [
        node
        for node in every
        if (file.imports.resolve(node.func) or "").startswith("torch.optim.")
        or _OPTIMIZER_CLASS.match((dotted(node.func) or "").rpartition(".")[2])
    ]
    made = [node for node in made if node.args or any(k.arg == "params" for k in node.keywords)]
    first, last = getattr(scope.node, "lineno", 0), getattr(scope.node, "end_lineno", 0)
    given = [parameters for node in made if (parameters := _parameters_given(node)) is not None]
    here = [g for g in given if first <= g.lineno <= last]
    return bool(here or given) and all(map(_is_one_tensor, here or given))


def _parameters_given(call: ast.Call) -> ast.expr | None:
    """What an optimizer is given to optimize; None for a scheduler, which is given an optimizer."""
    name = (dotted(call.func) or "").rpartition(".")[2]
    if name.endswith(("LR", "Lr", "Scheduler", "Restarts", "Plateau")):
        return None
    return call.args[0] if call.args else next(k.value for k in call.keywords if k.arg == "params")


def _is_one_tensor(parameters: ast.expr) -> bool:
    match parameters:
        case ast.List(elts=[one]) | ast.Tuple(elts=[one]):
            return not isinstance(one, ast.Dict | ast.Starred) and "parameters" not in ast.unparse(one)
    return False


class _Reach:
    """What loops and functions lead to, through the functions of the file that they call by name."""

    def __init__(self, by_name: dict[str, list[_Scope]]) -> None:
        self._by_name = by_name

    def of_loop(self, scope: _Scope, index: int) -> set[str]:
        """What happens in a loop."""
        below = self._below(scope.calls.get(index, set()), scope)
        inner = (happens for callee in below for happens in callee.does.values())
        return set().union(scope.does.get(index, set()), *inner)

    def trains_below(self, scope: _Scope, index: int) -> bool:
        """Whether a loop in one of the functions called is itself a training loop, all of the step in it."""
        below = self._below(scope.calls.get(index, set()), scope)
        return any(
            self.of_loop(callee, inner) >= _BOTH
            for callee in below
            if callee is not scope
            for inner in range(len(callee.loops))
        )

    def _below(self, names: Iterable[str], start: _Scope) -> list[_Scope]:
        """The functions reached by calls of these names."""
        found: list[_Scope] = []
        waiting = [(name, start) for name in names]
        seen: set[int] = {id(start)}
        while waiting:
            name, caller = waiting.pop()
            for callee in self._candidates(name, caller):
                if id(callee) not in seen:
                    seen.add(id(callee))
                    found.append(callee)
                    waiting += [(n, callee) for called in callee.calls.values() for n in called]
        return found

    def _candidates(self, name: str, caller: _Scope) -> list[_Scope]:
        owner, _, method = name.rpartition(".")
        every = self._by_name.get(method, [])
        if not owner:
            return [scope for scope in every if scope.owner is None]
        methods = [scope for scope in every if scope.owner is not None]
        own = [scope for scope in methods if scope.owner is caller.owner]
        return own if owner == "self" and own else methods


def _scopes(file: File) -> list[_Scope]:
    """The module and all functions that stand in no Lightning class; nested functions count to the one around them,
    unless it is the module."""
    scopes = [_read_scope(file, _Scope(file.tree), file.tree.body)]
    for kind in (ast.FunctionDef, ast.AsyncFunctionDef):
        for node, place in file.nodes.get(kind, ()):
            if isinstance(node, Function) and place.lightning is None and not _is_test(node):
                owner = place.scope if isinstance(place.scope, ast.ClassDef) else None
                scopes.append(_read_scope(file, _Scope(node, owner), node.body))
    return scopes


def _is_test(function: Function) -> bool:
    """A test that trains a few steps to see that something learns: the loop is its subject."""
    return function.name.startswith("test_")


def _read_scope(file: File, scope: _Scope, body: list[ast.stmt]) -> _Scope:
    stack: list[tuple[ast.AST, int]] = [(statement, -1) for statement in reversed(body)]
    while stack:
        node, loop = stack.pop()
        kind = type(node)
        if kind in _SCOPES:
            continue  # read as a scope of its own
        if loop < 0 and kind in _LOOPS:
            scope.loops.append(node)  # type: ignore[arg-type]
            loop = len(scope.loops) - 1
        if kind in _ACTS:
            happens = _happens(node, scope, file)
            if happens:
                scope.does.setdefault(loop, set()).add(happens)
        if isinstance(node, ast.Call):
            scope.calls.setdefault(loop, set()).update(_called(node))
        stack.extend([(child, loop) for child in reversed(inner_nodes(node))])
    return scope


def _happens(node: ast.AST, scope: _Scope, file: File) -> str | None:
    match node:
        case ast.Call(func=ast.Attribute(value=target, attr="backward")):
            return None if _OTHER_TRAINER_NAMES & set((dotted(target) or "").split(".")) else BACKWARD
        case ast.Call(func=ast.Attribute(attr="training_step")):
            return DRIVEN
        case ast.Call(func=ast.Name(id="training_step" as name)) if isinstance(scope.node, Function):
            return DRIVEN if name in parameters(scope.node) else None  # a loop made for a library to call
        case ast.Call(func=ast.Attribute(value=target, attr="step"), args=args, keywords=keywords):
            return UPDATE if _steps_optimizer(target, args, keywords) else None
        case ast.Call(
            func=ast.Attribute(value=weight, attr="add_" | "sub_" | "sub" | "add" | "copy_"),
            args=args,
            keywords=keywords,
        ):
            return UPDATE if _reads_grad_of(weight, [*args, *(k.value for k in keywords)]) else None
        case ast.Assign(targets=[weight], value=ast.BinOp() as value) | ast.AugAssign(
            target=weight, op=ast.Sub() | ast.Add(), value=value
        ):
            return UPDATE if _reads_grad_of(weight, [value]) else None
    return None


def _steps_optimizer(target: ast.expr, args: list[ast.expr], keywords: list[ast.keyword]) -> bool:
    """`optimizer.step()`, with a closure or not, `scaler.step(optimizer)`; not `env.step(action)`."""
    if not args and not keywords:
        return True  # beside a backward pass nothing else is stepped without an argument, but schedulers
    name = dotted(target) or dotted(getattr(target, "value", target)) or ""
    return _OPTIMIZER.search(name) is not None or any(isinstance(a, ast.Lambda) for a in args)


def _reads_grad_of(weight: ast.expr, values: list[ast.expr]) -> bool:
    """Whether `w`, or `w.data`, is set from `w.grad`: gradients are read for other ends too."""
    grads = [
        p for value in values for p in ast.walk(value) if isinstance(p, ast.Attribute) and p.attr == "grad"
    ]
    return any(ast.unparse(weight).removesuffix(".data") == _weight_of(grad.value) for grad in grads)


def _weight_of(owner: ast.expr) -> str:
    return ast.unparse(owner).removesuffix(".data")


def _called(node: ast.Call) -> Iterator[str]:
    """Names of what a call may run: the function, and functions given as arguments (a closure, a worker)."""
    for part in [node.func, *node.args, *(keyword.value for keyword in node.keywords)]:
        match part:
            case ast.Name(id=name):
                yield name
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                yield f"self.{name}"
            case ast.Attribute(attr=name) if name not in _CONTAINERS:
                yield f"?.{name}"
