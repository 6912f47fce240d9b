"""Where the batches come from: what has to be made anew in each epoch, and what can't be."""

from __future__ import annotations

import ast

from litify_converter.ir import BatchLoop, Bind, Hook, Item, Moved, Nest, New
from litify_converter.read import Script
from litify_converter.refusals import LoopShape
from litify_converter.variables import Variables
from litify_linter.reading.imports import dotted
from litify_linter.reading.scopes import Function, read, walk_scope

BATCH_START = "on_train_batch_start"


def check_source(script: Script, nest: Nest, items: list[Item], late: list[Item]) -> ast.expr | None:
    """The source of the batches, where it has to be evaluated anew in each epoch (`zip(a, b)`); else None.

    Args:
        late: the items from the first batch on: what is made before can be had from `train_dataloader`.
    """
    source = nest.batches.source
    if source is None or nest.batches.in_epoch:
        return None
    variables = Variables(script, items)
    per_epoch = nest.epochs.statement is not None
    made = {
        v
        for item in (late if per_epoch else items)
        for v in variables.bound(item)
        if not isinstance(item, Bind)
    }
    before = [item for item in items if item not in late]
    early = {v for item in before for v in variables.bound(item)} - made
    if per_epoch:  # what is bound in any case before the loop can be bound anew behind it
        sure = {v for i in before if isinstance(i, Moved) and isinstance(i.statement, ast.Assign)
                for v in variables.bound(i)}  # fmt: skip
        early |= sure
        made -= sure
    _refuse_lazy(script, nest, [i for i in items if i not in late], variables)
    by_start = False
    for node in ast.walk(source):
        if isinstance(node, ast.Name):
            variable = variables.of(node.id, nest.batches.scope)
            inner = (
                variable is not None
                and isinstance(variable.scope, Function)
                and variable.scope is not nest.entry
            )
            in_start = per_epoch and variable in early
            by_start = by_start or (in_start and variable not in variables.constant)
            if variable in made or (inner and variable not in variables.constant and not in_start):
                raise LoopShape(
                    f"the batches come from `{node.id}`, which is made anew in each epoch", source
                )
    repeated = isinstance(source, ast.Name | ast.Attribute | ast.Subscript) or (
        isinstance(source, ast.Call)
        and isinstance(source.func, ast.Name)
        and source.func.id in ("range", "list")
    )
    return source if not repeated and per_epoch and not by_start else None


def _refuse_lazy(script: Script, nest: Nest, early: list[Item], variables: Variables) -> None:
    """What has no length is fetched ahead by one, which reorders what it does when it is asked for a batch."""
    assert nest.batches.source is not None
    names = {variables.of(n, nest.batches.scope) for n in read(nest.batches.source)}
    for item in early:
        match item:
            case Moved(scope, ast.Assign(value=value) as statement) if variables.bound(item) & names:
                callee = script.roles.callee(value, scope) if isinstance(value, ast.Call) else None
                yields = callee is not None and any(isinstance(n, ast.Yield) for n in walk_scope(callee.body))
                lazy = isinstance(value, ast.Call) and dotted(value.func) in ("zip", "map", "filter", "iter")
                if yields or lazy or isinstance(value, ast.GeneratorExp):
                    raise LoopShape(
                        "the batches come from a generator that is made anew in each epoch", statement
                    )


def goes_on(batches: BatchLoop) -> Hook | None:
    """The test of a while loop in the epoch, before each of its rounds."""
    loop = batches.statement
    if not batches.in_epoch or not isinstance(loop, ast.While):
        return None
    if isinstance(loop.test, ast.Constant) and loop.test.value:
        return None
    text = f"return None if {ast.unparse(loop.test)} else -1"
    return Hook(BATCH_START, [New(batches.scope, text)], ("batch", "batch_idx"))
