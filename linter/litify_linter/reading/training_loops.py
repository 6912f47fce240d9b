"""Hand-written training loops: loops that reach a backward pass and an optimizer step, directly or through functions."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from litify_linter.reading.file import File, Place
from litify_linter.reading.imports import dotted
from litify_linter.reading.scopes import Function, parameters
from litify_linter.reading.training_signs import (
    OPTIMIZER,
    Optimizers,
    file_may_train,
    given_from_outside,
    goes_over_runs,
    is_measure,
    is_named_training,
    is_registered,
    named,
    stands_alone,
    takes_batches,
    takes_data,
    takes_model,
)

Loop = ast.For | ast.AsyncFor | ast.While
BACKWARD, UPDATE, DRIVEN, ACTING = "backward", "update", "driven", "acting"
_BOTH = frozenset({BACKWARD, UPDATE})
_SPOILED = frozenset({DRIVEN, ACTING})
# Methods of Python's own containers: an append() on something unknown is no call of a method of that name here.
_CONTAINERS = frozenset(name for kind in (list, dict, set, str) for name in dir(kind)) - {"update"}
_OTHER_TRAINER_NAMES = frozenset({"accelerator", "fabric"})
_STEPPED = {"backward", "step", "training_step", "add_", "sub_", "sub", "add", "copy_"}
_MODULE = -1  # in place of the index of a loop: outside of all loops


@dataclass(slots=True)
class _Scope:
    """A function, or the module: what it does itself and whom it calls, by the index of the outermost loop around it."""

    node: ast.AST
    owner: ast.ClassDef | None = None  # the class it is a method of
    loops: list[Loop] = field(default_factory=list)  # outermost loops, in order
    does: dict[int, set[str]] = field(default_factory=dict)
    calls: dict[int, set[str]] = field(default_factory=dict)  # names of functions and methods of the file

    @property
    def name(self) -> str:
        """The function's name with its class, "" for the module."""
        own = self.node.name if isinstance(self.node, Function) else ""
        return f"{self.owner.name}.{own}" if self.owner is not None else own

    def index_of(self, node: ast.stmt | ast.expr) -> int:
        """Which of the outermost loops a node of this scope stands in."""
        for index, loop in enumerate(self.loops):
            if loop.lineno <= node.lineno <= (loop.end_lineno or loop.lineno):
                return index
        return _MODULE


def training_loops(file: File) -> list[Loop]:
    """The outermost loop of each function (or of the module) that trains a model on data by hand.

    A loop whose training happens in a loop of a function it calls is left out in favour of that loop. What is not
    shown by the file to be a training is left out as well: see `_is_training`.
    """
    if not file_may_train(file):
        return []
    acts = list(_acts(file))
    if not {kind for kind, _, _ in acts} >= _BOTH:
        return []
    scopes = _scopes(file, acts)
    reach = _Reach(scopes.values())
    candidates = [
        (scope, index)
        for scope in scopes.values()
        for index in range(len(scope.loops))
        if _trains(reach.of_loop(scope, index)) and not reach.trains_below(scope, index)
    ]
    if not candidates:
        return []
    optimizers = Optimizers(file)
    scripted = {id(scope) for scope in reach.from_module(scopes[file.tree])}
    return [
        scope.loops[index]
        for scope, index in candidates
        if _is_training(scope, index, reach, optimizers, id(scope) in scripted, file)
    ]


def _trains(happens: set[str]) -> bool:
    """Whether backward and update happen, and nothing that makes it something else than a training on data."""
    return happens >= _BOTH and not happens & _SPOILED


def _is_training(
    scope: _Scope, index: int, reach: _Reach, optimizers: Optimizers, scripted: bool, file: File
) -> bool:
    """Whether the file shows that a loop trains a model on data.

    It is no measurement by its name, is not handed to a library that calls it, what changes is no input (an image, a
    pose), and no algorithm around it makes a new optimizer each time. The module's own loops go over data or epochs, or
    what they change is known to be weights. A function is named for training or run by the module, and goes over data or
    epochs, or the optimizer over a model's parameters is made there. A method goes over batches, in a class whose bases
    are known and whose model does not come from code in other files.
    """
    loop, node = scope.loops[index], scope.node
    if is_measure(scope.name) or is_registered(node) or optimizers.change_an_input(node):
        return False
    if optimizers.made_in(loop) and not goes_over_runs(loop):
        return False
    if not isinstance(node, Function):
        return takes_data(loop) or optimizers.are_unknown() or optimizers.over_weights(node)
    parts = [loop, *(callee.node for callee in reach.below(scope, index))]
    if scope.owner is not None:
        return (
            takes_batches(loop)
            and stands_alone(scope.owner, file)
            and (scripted or not given_from_outside(scope.owner, node))
        )
    if not (scripted or is_named_training(scope.name)):
        return False
    if any(map(takes_batches, parts)):
        return True
    if any(
        map(takes_data, parts)
    ):  # epochs over all data at once: of a model, not of an image that is painted
        return optimizers.over_weights(node) or takes_model(node)
    return scripted and (optimizers.over_weights(node) or named(scope.name))


class _Reach:
    """What loops and functions lead to, through the functions of the file that they call by name."""

    def __init__(self, scopes: Iterable[_Scope]) -> None:
        self._by_name: dict[str, list[_Scope]] = {}
        for scope in scopes:
            if isinstance(scope.node, Function):
                self._by_name.setdefault(scope.node.name, []).append(scope)

    def of_loop(self, scope: _Scope, index: int) -> set[str]:
        """What happens in a loop."""
        inner = (happens for callee in self.below(scope, index) for happens in callee.does.values())
        return set().union(scope.does.get(index, set()), *inner)

    def trains_below(self, scope: _Scope, index: int) -> bool:
        """Whether a loop in one of the functions called is itself a training loop, all of the step in it."""
        return any(
            self.of_loop(callee, inner) >= _BOTH
            for callee in self.below(scope, index)
            if callee is not scope
            for inner in range(len(callee.loops))
        )

    def below(self, scope: _Scope, index: int) -> list[_Scope]:
        """The functions that a loop leads to."""
        return self._reached(scope.calls.get(index, set()), scope)

    def from_module(self, module: _Scope) -> list[_Scope]:
        """The module, and the functions that run when it does."""
        return [module, *self._reached(set().union(*module.calls.values()), module)]

    def _reached(self, names: Iterable[str], start: _Scope) -> list[_Scope]:
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


Act = tuple[str, ast.stmt | ast.expr, Place]


def _acts(file: File) -> Iterator[Act]:
    """Every act of a training step in the file: its kind, the node, where it stands."""
    for node, place in file.nodes.get(ast.Call, ()):
        if isinstance(node, ast.Call):
            function = node.func
            name = getattr(function, "attr", None) or getattr(function, "id", None)
            kind = _happens(node, place) if name in _STEPPED else None
            if kind is not None:
                yield kind, node, place
    for statement in (ast.Assign, ast.AugAssign):
        for node, place in file.nodes.get(statement, ()):
            if isinstance(node, ast.Assign | ast.AugAssign):
                kind = _happens(node, place)
                if kind is not None:
                    yield kind, node, place


def _scopes(file: File, acts: list[Act]) -> dict[ast.AST, _Scope]:
    """The module and all functions that stand in no Lightning class, by their nodes; nested functions count for themselves."""
    scopes: dict[ast.AST, _Scope] = {file.tree: _Scope(file.tree)}
    for kind in (ast.FunctionDef, ast.AsyncFunctionDef):
        for node, place in file.nodes.get(kind, ()):
            if isinstance(node, Function) and place.lightning is None and not node.name.startswith("test_"):
                scopes[node] = _Scope(node, place.scope if isinstance(place.scope, ast.ClassDef) else None)
    _find_loops(file, scopes)
    for act, at, place in acts:
        scope = scopes.get(_scope_of(place))
        if scope is not None:
            scope.does.setdefault(scope.index_of(at), set()).add(act)
    names = {scope.node.name for scope in scopes.values() if isinstance(scope.node, Function)}
    for call, place in file.nodes.get(ast.Call, ()):
        called = _called(call, names) if isinstance(call, ast.Call) else []
        scope = scopes.get(_scope_of(place)) if called else None
        if scope is not None and isinstance(call, ast.Call):
            scope.calls.setdefault(scope.index_of(call), set()).update(called)
    return scopes


def _find_loops(file: File, scopes: dict[ast.AST, _Scope]) -> None:
    kinds = (ast.For, ast.AsyncFor, ast.While)
    every = [(n, place) for kind in kinds for n, place in file.nodes.get(kind, ()) if isinstance(n, Loop)]
    for loop, place in sorted(every, key=lambda pair: (pair[0].lineno, pair[0].col_offset)):
        scope = scopes.get(_scope_of(place))
        if scope is not None and scope.index_of(loop) == _MODULE:
            scope.loops.append(loop)


def _scope_of(place: Place) -> ast.AST:
    """The function or module in which something runs: what stands in a lambda counts to the function around it."""
    while isinstance(place.scope, ast.Lambda) and place.outer is not None:
        place = place.outer
    return place.scope


def _happens(node: ast.AST, place: Place) -> str | None:
    match node:
        case ast.Call(func=ast.Attribute(value=target, attr="backward")):
            return None if _OTHER_TRAINER_NAMES & set((dotted(target) or "").split(".")) else BACKWARD
        case ast.Call(func=ast.Attribute(attr="training_step")):
            return DRIVEN
        case ast.Call(func=ast.Name(id="training_step" as name)) if isinstance(place.scope, Function):
            return DRIVEN if name in parameters(place.scope) else None  # a loop made for a library to call
        case ast.Call(func=ast.Attribute(value=target, attr="step"), args=args, keywords=keywords):
            return UPDATE if _steps_optimizer(target, args, keywords) else None
        case ast.Call(
            func=ast.Attribute(value=weight, attr="add_" | "sub_" | "sub" | "add" | "copy_"),
            args=args,
            keywords=keywords,
        ):
            return UPDATE if _reads_grad_of(weight, [*args, *(k.value for k in keywords)]) else None
        case ast.Assign(
            targets=[ast.Tuple(elts=[_, _, _, *_])], value=ast.Call(func=ast.Attribute(attr="step"), args=[_])
        ):
            # `state, reward, done, info = env.step(action)`: what is learned from is not there before the training.
            return None if _evaluates(place) else ACTING
        case ast.Assign(targets=[weight], value=ast.BinOp() as value) | ast.AugAssign(
            target=weight, op=ast.Sub() | ast.Add(), value=value
        ):
            return UPDATE if _reads_grad_of(weight, [value]) else None
    return None


def _evaluates(place: Place) -> bool:
    """Whether a function only looks how well something does."""
    name = place.scope.name if isinstance(place.scope, Function) else ""
    return any(word in name for word in ("eval", "test", "valid"))


def _steps_optimizer(target: ast.expr, args: list[ast.expr], keywords: list[ast.keyword]) -> bool:
    """`optimizer.step()`, with a closure or not, `scaler.step(optimizer)`; not `env.step(action)`."""
    if not args and not keywords:
        return True  # beside a backward pass nothing else is stepped without an argument, but schedulers
    name = dotted(target) or dotted(getattr(target, "value", target)) or ""
    return OPTIMIZER.search(name) is not None or any(isinstance(a, ast.Lambda) for a in args)


def _reads_grad_of(weight: ast.expr, values: list[ast.expr]) -> bool:
    """Whether `w`, or `w.data`, is set from `w.grad`: gradients are read for other ends too."""
    grads = [
        p for value in values for p in ast.walk(value) if isinstance(p, ast.Attribute) and p.attr == "grad"
    ]
    return any(ast.unparse(weight).removesuffix(".data") == _weight_of(grad.value) for grad in grads)


def _weight_of(owner: ast.expr) -> str:
    return ast.unparse(owner).removesuffix(".data")


def _called(node: ast.Call, names: set[str]) -> list[str]:
    """Those of `names` that a call may run: the function, and functions given as arguments (a closure, a worker)."""
    found = []
    for part in [node.func, *node.args, *[keyword.value for keyword in node.keywords]]:
        if isinstance(part, ast.Name):
            if part.id in names:
                found.append(part.id)
        elif isinstance(part, ast.Attribute) and part.attr in names:
            if isinstance(part.value, ast.Name) and part.value.id == "self":
                found.append(f"self.{part.attr}")
            elif part.attr not in _CONTAINERS:
                found.append(f"?.{part.attr}")
    return found
