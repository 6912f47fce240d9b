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

    def ways(self) -> list[tuple[Turn, ...]]:
        return self._in_block(self.script.tree.body, self.script.tree, (), ())

    def _in_block(
        self, block: list[ast.stmt], scope: Scope, way: tuple[Turn, ...], active: tuple[Function, ...]
    ) -> list[tuple[Turn, ...]]:
        found: list[tuple[Turn, ...]] = []
        for statement in block:
            if isinstance(statement, Function | ast.ClassDef):
                continue
            turn = Turn(scope, statement, tuple(block))
            for call in own_calls(statement):
                if is_step(call, self.script, scope):
                    found.append((*way, turn))
                    continue
                function = self.script.roles.callee(call, scope)
                if function is None or function in active or not self._steps(function, active):
                    continue
                entered = Turn(scope, statement, tuple(block), Call(statement, call, scope, function))
                found += self._in_block(function.body, function, (*way, entered), (*active, function))
            for inner in inner_blocks(statement):
                found += self._in_block(inner, scope, (*way, turn), active)
        return found

    def _steps(self, function: Function, active: tuple[Function, ...]) -> bool:
        """Whether a function reaches an optimizer step."""
        if function not in self._steps_below:
            self._steps_below[function] = False  # for recursion
            self._steps_below[function] = any(
                is_step(call, self.script, function)
                or (
                    (callee := self.script.roles.callee(call, function)) is not None
                    and self._steps(callee, active)
                )
                for call in walk_scope(function.body)
                if isinstance(call, ast.Call)
            )
        return self._steps_below[function]


def first_loop(way: tuple[Turn, ...]) -> ast.stmt | None:
    return next((turn.statement for turn in way if isinstance(turn.statement, Loop)), None)


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
