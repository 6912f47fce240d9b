"""The ways from a script's entry to its optimizer steps, through loops and through calls of its own functions."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from litify_converter.blocks import inner_blocks, own_calls
from litify_converter.ir import Call, Scope
from litify_converter.read import Script
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, walk_scope

Loop = ast.For | ast.While
# Libraries that run functions in other processes or threads.
STARTING = (
    "torch.multiprocessing", "multiprocessing", "threading", "concurrent", "subprocess", "torch.distributed", "ray",
    "mpi4py", "horovod",
)  # fmt: skip
# Calls that run the function they are given, with arguments from the command line.
ONE_COMMAND = {"typer.run", "absl.app.run"}


@dataclass(frozen=True, eq=False)
class Turn:
    """One step on the way inwards: a loop entered, a call followed, or another compound statement entered."""

    scope: Scope
    statement: ast.stmt
    siblings: tuple[ast.stmt, ...]  # the block the statement stands in
    call: Call | None = None


def is_step(call: ast.Call, script: Script, scope: Scope) -> bool:
    """Whether a call makes an optimizer step: `optimizer.step()`, `scaler.step(optimizer)`."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "step"):
        return False
    role = script.roles.of(call.func.value, scope)
    return role is Role.OPTIMIZER or (role is Role.SCALER and bool(call.args))


class Search:
    """Depth-first search of the ways from the module's top level to optimizer steps."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self._steps_below: dict[Function, bool] = {}

    def ways(self, called: bool = False) -> list[tuple[Turn, ...]]:
        """All ways; where none starts at the top level, those of functions that nothing in this file calls.

        Args:
            called: only from the top level.
        """
        found = self._in_block(self.script.tree.body, self.script.tree, (), ())
        if found or called:
            return found
        return [
            way for f in self._uncalled() for way in self._in_block(f.body, f, (), (f,)) if first_loop(way)
        ]

    def _uncalled(self) -> list[Function]:
        """Functions that are run from elsewhere: by another file, or by a library that they are handed to."""
        roles = self.script.roles
        if any(name.startswith(STARTING) for name in self.script.imports.names.values()):
            return []  # what runs in processes of its own can't be told from the rest
        every = [*roles.functions.values(), *roles.owner]
        calls = {
            id(callee)
            for f in every
            for n in walk_scope(f.body)
            if isinstance(n, ast.Call)
            for callee in self._run_by(n, f)
        }
        return [f for f in every if self.steps_below(f) and id(f) not in calls]

    def _in_block(
        self, block: list[ast.stmt], scope: Scope, way: tuple[Turn, ...], active: tuple[Function, ...]
    ) -> list[tuple[Turn, ...]]:
        found: list[tuple[Turn, ...]] = []
        for statement in block:
            if isinstance(statement, Function | ast.ClassDef):
                continue
            turn = Turn(scope, statement, tuple(block))
            for call in own_calls(statement):
                if is_step(call, self.script, scope) or self._steps_inside(call, scope):
                    found.append((*way, turn))
                    continue
                for function in self._run_by(call, scope):
                    if function in active or not self.steps_below(function, active):
                        continue
                    entered = Turn(scope, statement, tuple(block), Call(statement, call, scope, function))
                    found += self._in_block(function.body, function, (*way, entered), (*active, function))
            for inner in inner_blocks(statement):
                found += self._in_block(inner, scope, (*way, turn), active)
        return found

    def _run_by(self, call: ast.Call, scope: Scope) -> list[Function]:
        """The functions of this file that a call runs; of `fire.Fire()` those that the command line can name."""
        function = self.script.roles.callee(call, scope)
        if function is not None:
            return [function]
        name = self.script.imports.resolve(call.func)
        made = call.func.id if isinstance(call.func, ast.Name) else ""
        if made in self.script.roles.classes:
            return [f for f, c in self.script.roles.owner.items() if c.name == made and f.name == "__init__"]
        if name in ONE_COMMAND and call.args:
            return self._named(call.args[:1])
        if name == "fire.Fire":
            component = (
                call.args[0]
                if call.args
                else next((k.value for k in call.keywords if k.arg == "component"), None)
            )
            if isinstance(component, ast.Dict):
                return self._named(component.values)
            if component is not None:
                return self._named([component])
            return [f for f in self.script.roles.functions.values() if f in self.script.tree.body]
        return []

    def _named(self, values: list[ast.expr]) -> list[Function]:
        functions = self.script.roles.functions
        return [functions[v.id] for v in values if isinstance(v, ast.Name) and v.id in functions]

    def _steps_inside(self, call: ast.Call, scope: Scope) -> bool:
        """Whether a call is of a method that steps the optimizer of its object: the object is left as it is."""
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        roles = self.script.roles
        if owner is None or roles.wrapped_optimizer(owner, scope) is None:
            return False
        method = roles.callee(call, scope)
        return method is not None and self.steps_below(method)

    def steps_below(self, function: Function, active: tuple[Function, ...] = ()) -> bool:
        """Whether a function reaches an optimizer step."""
        if function not in self._steps_below:
            self._steps_below[function] = False  # for recursion
            self._steps_below[function] = any(
                is_step(call, self.script, function)
                or self._steps_inside(call, function)
                or any(self.steps_below(callee, active) for callee in self._run_by(call, function))
                for call in walk_scope(function.body)
                if isinstance(call, ast.Call)
            )
        return self._steps_below[function]


def trains_itself(script: Script, function: Function) -> bool:
    """Whether a method of a network is one step, with an optimizer of the network's own: `self.opt.step()`."""
    owner = script.roles.owner.get(function)
    if owner is None or script.roles.class_role(owner.name) is not Role.MODEL or not function.args.args:
        return False
    steps = [n for n in walk_scope(function.body) if isinstance(n, ast.Call) and is_step(n, script, function)]
    return len(steps) == 1 and all(
        isinstance(n.func, ast.Attribute)
        and isinstance(n.func.value, ast.Attribute)
        and isinstance(n.func.value.value, ast.Name)
        and n.func.value.value.id == function.args.args[0].arg
        for n in steps
    )


def first_loop(way: tuple[Turn, ...]) -> ast.stmt | None:
    return next((turn.statement for turn in way if isinstance(turn.statement, Loop)), None)


def from_loop(ways: list[tuple[Turn, ...]], script: Script) -> tuple[list[tuple[Turn, ...]], bool]:
    """The ways from the training loop on, and whether training runs more than once.

    How the loop is reached does not matter, nor how often. A loop around it in which the optimizer is made anew (over
    folds, seeds, settings) is no part of the training.
    """
    cut = []
    prefixes = set()
    for way in ways:
        start = _training_starts(way, script)
        cut.append(way[start:])
        prefixes.add(tuple(id(turn.call.call) for turn in way[:start] if turn.call is not None))
    around = {id(t.statement) for way, rest in zip(ways, cut, strict=True) for t in way[: -len(rest)]
              if isinstance(t.statement, Loop) and t.call is None}  # fmt: skip
    return cut, bool(around) or len(prefixes) > 1


def _training_starts(way: tuple[Turn, ...], script: Script) -> int:
    """Where the outermost loop stands behind the last place that makes an optimizer."""
    loops = [i for i, turn in enumerate(way) if isinstance(turn.statement, Loop) and turn.call is None]
    made = [i for i, turn in enumerate(way) if _makes_optimizer(turn, script)]
    behind = [i for i in loops if i >= made[-1]] if made else []
    return (behind or loops)[0]


def _makes_optimizer(turn: Turn, script: Script) -> bool:
    """Whether a statement before the turn, in its block, is `optimizer = Adam(...)`."""
    before = turn.siblings[: turn.siblings.index(turn.statement)]
    return any(
        isinstance(s, ast.Assign)
        and isinstance(s.value, ast.Call)
        and any(script.roles.of(t, turn.scope) is Role.OPTIMIZER for t in s.targets)
        and script.roles.of(s.value, turn.scope) is Role.OPTIMIZER
        for s in before
    )


def common(ways: list[tuple[Turn, ...]]) -> tuple[Turn, ...]:
    """The beginning that all ways share, up to and with the statement where the first of them steps or they part."""
    first = ways[0]
    length = len(first)
    for way in ways[1:]:
        same = 0
        while same < min(len(way), length) and _same_turn(first[same], way[same]):
            same += 1
        length = same
    return first[:length]


def _same_turn(left: Turn, right: Turn) -> bool:
    if left.statement is not right.statement:
        return False
    return (left.call.call if left.call else None) is (right.call.call if right.call else None)
