"""Stage 2, regions: Script -> Nest, the loop structure taken apart along the Trainer's hooks.

The way from the script's entry to the optimizer step is followed through loops and through calls of the script's own
functions. The outermost loop on it is the epoch loop, the next one over data the batch loop; what stands before,
inside and after the batch loop becomes the three parts of the nest, functions on the way written out in place.
"""

from __future__ import annotations

import ast
from dataclasses import replace

from litify_converter.ir import BatchLoop, Call, EpochLoop, Item, Moved, Nest, Scope
from litify_converter.iterables import PROGRESS, PROGRESS_RANGE, Peel, progress_bars
from litify_converter.read import Script
from litify_converter.refusals import (
    AlreadyConverted,
    ControlFlow,
    Distributed,
    LoopInClass,
    LoopShape,
    NothingToConvert,
    SeveralLoops,
    StepElsewhere,
)
from litify_converter.ways import Search, Turn, common, first_loop, from_loop, is_step, trains_itself
from litify_converter.written_out import take_arguments, take_result
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, walk_scope

Loop = ast.For | ast.While
LIGHTNING = ("lightning", "pytorch_lightning", "litify")


def find_nest(script: Script) -> Nest:
    """The loop nest that trains; of several, the first (`Nest.further`).

    Raises:
        Refusal: nothing trains, or the nest has a shape that the hooks can't take.
    """
    ways = Search(script).ways()
    outermost = {id(first_loop(way)): way for way in ways if first_loop(way) is not None}
    if not outermost:
        raise _why_no_loop(script, ways)
    ways = [way for way in ways if first_loop(way) is not None]
    cut, _ = from_loop(ways, script)
    outermost = {id(way[0].statement): way for way in cut}
    first = cut[0][0].statement
    ways = [way for way, rest in zip(ways, cut, strict=True) if rest[0].statement is first]
    return _Builder(script, ways, len(outermost) - 1).build()


def refuse_already_converted(script: Script) -> None:
    """Raises AlreadyConverted for a script with a LightningModule."""
    for name, node in script.roles.classes.items():
        for base in node.bases:
            qualified = script.imports.resolve(base) or ""
            if qualified.startswith(LIGHTNING) and qualified.endswith("LightningModule"):
                raise AlreadyConverted(f"class {name} is a LightningModule already: nothing to convert", node)


def _why_no_loop(script: Script, ways: list[tuple[Turn, ...]]) -> Exception:
    """No step was reached from the script's entry inside a loop: say the nearest thing that was found."""
    roles = script.roles
    for function in [*roles.functions.values(), *roles.owner]:
        steps = [
            n for n in walk_scope(function.body) if isinstance(n, ast.Call) and is_step(n, script, function)
        ]
        if steps and function in roles.owner:
            owner = roles.owner[function].name
            return LoopInClass(
                f"the optimizer is stepped in method {function.name} of class {owner}", steps[0]
            )
        if steps and _is_spawned(script, function):
            return Distributed(f"{function.name}() is started in processes of its own", steps[0])
        if steps:
            return StepElsewhere(
                f"no loop of this script calls {function.name}(), which steps the optimizer", steps[0]
            )
    if ways:
        return LoopShape("the optimizer is stepped outside of any loop", ways[0][-1].statement)
    backward = next(
        (n for n in ast.walk(script.tree) if isinstance(n, ast.Attribute) and n.attr == "backward"), None
    )
    if backward is not None:
        return StepElsewhere("gradients are computed here, but no optimizer that steps was found", backward)
    return NothingToConvert(
        "no training loop found: nothing calls both .backward() and an optimizer's .step()"
    )


def _is_spawned(script: Script, function: Function) -> bool:
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Call) and (script.imports.resolve(node.func) or "").startswith(
            "torch.multiprocessing"
        ):
            values = [*node.args, *(k.value for k in node.keywords)]
            if any(isinstance(a, ast.Name) and a.id == function.name for a in values):
                return True
    return False


class _Builder:
    """Takes the nest apart; `ways` are all ways to steps, with one outermost loop in common."""

    def __init__(self, script: Script, ways: list[tuple[Turn, ...]], further: int) -> None:
        self.script = script
        self.further = further
        self.roles = script.roles
        from_elsewhere = ways[0][0].scope is not script.tree  # nobody knows how often it runs
        ways, repeated = from_loop(ways, script)
        self.repeated = repeated or from_elsewhere
        self.inner = common(ways)
        around = [s for turn in self.inner[1:] for s in (*turn.siblings, turn.statement)]
        self.bars = progress_bars(around, script.imports)
        self.peel = Peel(script.imports, self.bars)

    def build(self) -> Nest:
        for turn in self.inner[1:]:
            function = turn.call.function if turn.call is not None else None
            owner = self.roles.owner.get(function) if function is not None else None
            if owner is None or function is None or self.roles.class_role(owner.name) is not Role.MODEL:
                continue
            if not trains_itself(self.script, function):
                raise LoopInClass(f"the network {owner.name} trains itself in its own methods", owner)
        outer = self.inner[0]
        assert isinstance(outer.statement, Loop)
        loops = [turn for turn in self.inner if isinstance(turn.statement, Loop)]
        batch = self._batch_turn(loops)
        epochs, batches = self._loops(outer, batch)
        self.buckets: dict[str, list[Item]] = {"start": [], "step": [], "end": []}
        self.calls: list[Call] = []
        self._take_apart(outer, batch, batches.statement is not None)
        return Nest(
            outer.scope,
            outer.statement,
            epochs,
            batches,
            tuple(self.buckets["start"]),
            tuple(self.buckets["step"]),
            tuple(self.buckets["end"]),
            tuple(self.calls),
            frozenset(self.bars),
            self.repeated,
            self.further,
        )

    # -- which loop is which ---------------------------------------------------------------------------------------

    def _batch_turn(self, loops: list[Turn]) -> Turn | None:
        """The loop over batches: the outermost one over data; of two counting loops the inner one."""
        for turn in loops:
            if isinstance(loops[0].statement, ast.While) and turn is not loops[0]:
                break
            if isinstance(turn.statement, ast.For) and self._is_data(turn.statement.iter, turn.scope):
                return turn
        if len(loops) == 1 or isinstance(loops[0].statement, ast.While):
            return None
        return loops[1]

    def _is_data(self, iterable: ast.expr, scope: Scope) -> bool:
        iterable, _, _ = self.peel(iterable)
        role = self.roles.of(iterable, scope)
        if role in (Role.LOADER, Role.DATASET):
            return True
        if isinstance(iterable, ast.Call):
            name = dotted(iterable.func)
            if name == "zip":
                return any(self._is_data(a, scope) for a in iterable.args)
            if name == "range":
                return len(iterable.args) == 3
            return name is not None and "batch" in name.lower()
        name = dotted(iterable) or ""
        return any(
            word in name.lower() for word in ("loader", "batches", "dataset", "iterator", "dataloader")
        )

    def _loops(self, outer: Turn, batch: Turn | None) -> tuple[EpochLoop, BatchLoop]:
        if batch is not None and batch.statement is outer.statement:
            return EpochLoop(None, outer.scope), self._batch_loop(batch)
        statement = outer.statement
        if batch is None and not _counts_epochs(statement):
            if isinstance(statement, ast.While):
                return EpochLoop(None, outer.scope), _endless(statement, outer.scope)
            return EpochLoop(None, outer.scope), self._batch_loop(outer)
        epochs = self._epoch_loop(outer)
        inner = self._batch_loop(batch) if batch is not None else BatchLoop(None, self.inner[-1].scope)
        return epochs, inner

    def _epoch_loop(self, turn: Turn) -> EpochLoop:
        statement = turn.statement
        if not isinstance(statement, ast.For):
            raise LoopShape("the epochs are counted by a while loop", statement)
        if statement.orelse:
            raise LoopShape("a for loop with an else branch", statement)
        iterable, enumerated, _ = self.peel(statement.iter)
        if isinstance(iterable, ast.Call) and not enumerated and isinstance(statement.target, ast.Name):
            name = self.script.imports.resolve(iterable.func) or dotted(iterable.func)
            args = iterable.args
            counts = name == "range" or name in PROGRESS_RANGE
            if counts and 1 <= len(args) <= 2 and not any(isinstance(a, ast.Starred) for a in args):
                first = args[0] if len(args) == 2 else None
                return EpochLoop(statement, turn.scope, statement.target.id, first, args[-1])
            if name == "itertools.count" and len(args) + len(iterable.keywords) <= 1:
                first = next(iter([*args, *(k.value for k in iterable.keywords if k.arg == "start")]), None)
                return EpochLoop(statement, turn.scope, statement.target.id, first, endless=True)
        raise LoopShape("the epoch loop is not a `for epoch in range(...)`", statement)

    def _batch_loop(self, turn: Turn) -> BatchLoop:
        statement = turn.statement
        if isinstance(statement, ast.While):
            return replace(_endless(statement, turn.scope), in_epoch=True)
        assert isinstance(statement, ast.For)
        if statement.orelse:
            raise LoopShape("a for loop with an else branch", statement)
        source, enumerated, start = self.peel(statement.iter)
        target: ast.expr = statement.target
        index = None
        if enumerated:
            if not (
                isinstance(target, ast.Tuple)
                and len(target.elts) == 2
                and isinstance(target.elts[0], ast.Name)
            ):
                raise LoopShape("enumerate() without an index and a batch as targets", statement)
            index, target = target.elts[0].id, target.elts[1]
        return BatchLoop(statement, turn.scope, source, target, index, start)

    # -- what stands where -----------------------------------------------------------------------------------------

    def _take_apart(self, outer: Turn, batch: Turn | None, has_batches: bool) -> None:
        """Walk inwards; what stands before the way goes to `start` or `step`, what stands after it to `end` or `step`."""
        loop = outer.statement
        assert isinstance(loop, Loop)
        batch_statement = batch.statement if batch is not None else (loop if has_batches else None)
        self.split_calls = batch_statement is None  # full batch: the innermost function is the step
        inside = loop is batch_statement
        self._block(tuple(loop.body), outer.scope, 1, inside, batch_statement, "step" if inside else None)

    def _block(
        self,
        block: tuple[ast.stmt, ...],
        scope: Scope,
        position: int,
        inside: bool,
        batch: ast.stmt | None,
        only: str | None,
    ) -> None:
        """Put one block's statements into the buckets. `position`: index into the way below the outermost loop."""
        turn = self.inner[position] if position < len(self.inner) else None
        on_way = turn.statement if turn is not None and turn.statement in block else None
        last_function = not any(t.call is not None for t in self.inner[position:])
        if (
            on_way is None
            or (only == "step" and not self._call_at(turn))
            or (batch is None and last_function)
        ):
            self._put("step" if (only or batch is None) else "start", scope, block)
            return
        at = block.index(on_way)
        before, after = block[:at], block[at + 1 :]
        assert turn is not None
        self._put(only or "start", scope, before)
        if turn.call is not None:
            self._enter(turn.call, position, inside, batch, only)
        elif on_way is batch:
            assert isinstance(on_way, Loop)
            self._block(tuple(on_way.body), scope, position + 1, True, batch, "step")
        elif isinstance(on_way, ast.With) and self._is_progress(on_way):
            self._block(tuple(on_way.body), scope, position + 1, inside, batch, only)
        else:
            raise LoopShape("the batch loop stands inside another statement of the epoch loop", on_way)
        self._put(only or "end", scope, after)

    @staticmethod
    def _call_at(turn: Turn | None) -> bool:
        return turn is not None and turn.call is not None

    def _enter(
        self, call: Call, position: int, inside: bool, batch: ast.stmt | None, only: str | None
    ) -> None:
        function = call.function
        body = list(function.body)
        if function.decorator_list:
            raise StepElsewhere(f"{function.name}() has a decorator, so it can't be written out", function)
        if isinstance(function, ast.AsyncFunctionDef) or any(
            isinstance(n, ast.Yield | ast.YieldFrom) for n in walk_scope(body)
        ):
            raise StepElsewhere(f"{function.name}() is a generator or a coroutine", function)
        self._check_callable_once(call)
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body = body[1:]  # the docstring
        result = None
        if body and isinstance(body[-1], ast.Return):
            result = body[-1].value
            body = body[:-1]
        early = next((n for n in walk_scope(body) if isinstance(n, ast.Return)), None)
        if early is not None:
            raise ControlFlow(f"{function.name}() returns from its middle", early)
        self.calls.append(call)
        in_step = only or ("step" if batch is None and self._innermost(position) else None)
        self.buckets[in_step or "start"] += take_arguments(self.script, call)
        self._block(tuple(body), function, position + 1, inside, batch, in_step)
        self.buckets[in_step or "end"] += take_result(call, result)

    def _innermost(self, position: int) -> bool:
        return not any(t.call is not None for t in self.inner[position + 1 :])

    def _check_callable_once(self, call: Call) -> None:
        name = call.function.name
        scopes = [self.script.tree, *self.roles.functions.values(), *self.roles.owner]
        others = [
            n
            for scope in scopes
            for m in walk_scope(scope.body)
            for n in (ast.walk(m.body) if isinstance(m, ast.Lambda) else (m,))
            if isinstance(n, ast.Call) and n is not call.call and self.roles.callee(n, scope) is call.function
        ]
        if others:
            raise SeveralLoops(f"{name}() is called in more than one place", others[0])

    def _is_progress(self, statement: ast.With) -> bool:
        return all(
            isinstance(i.context_expr, ast.Call)
            and (self.script.imports.resolve(i.context_expr.func) or "") in PROGRESS
            for i in statement.items
        )

    def _put(self, bucket: str, scope: Scope, statements: tuple[ast.stmt, ...]) -> None:
        self.buckets[bucket] += [Moved(scope, statement) for statement in statements]


def _endless(statement: ast.While, scope: Scope) -> BatchLoop:
    """A while loop: an endless source of steps, left by should_stop."""
    if statement.orelse:
        raise LoopShape("a while loop with an else branch", statement)
    return BatchLoop(statement, scope, ast.parse("itertools.count()", mode="eval").body)


def _counts_epochs(statement: ast.stmt) -> bool:
    """Whether a loop without batches counts epochs (by its name) rather than iterations."""
    return (
        isinstance(statement, ast.For)
        and isinstance(statement.target, ast.Name)
        and "epoch" in statement.target.id
    )
