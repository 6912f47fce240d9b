"""Where the set-up asks the Trainer something: of lowered scripts, whose ranks are the Trainer's."""

from __future__ import annotations

import ast

from litify_converter.blocks import around_loop
from litify_converter.ir import TRAINER, Plan
from litify_converter.refusals import Distributed
from litify_linter.reading.scopes import Function, bound, read


def early_use(plan: Plan) -> ast.stmt | None:
    """The first statement of the set-up that asks the Trainer something, so that it is made before.

    Raises:
        Distributed: the Trainer's arguments are not known by then.
    """
    entry = plan.nest.entry
    outer = plan.nest.outer
    top = [s for s in around_loop(entry.body, outer) if s.lineno < outer.lineno]
    stays = [
        s for s in top if s not in plan.moved_setup and s not in plan.dropped and not isinstance(s, Function)
    ]
    holding = [s for s in stays if any(n is outer for n in ast.walk(s))]
    first = next((s for s in stays if s not in holding and TRAINER in read(s)), None)
    if first is None:
        return None
    late = {n for s in stays[stays.index(first) :] if s not in holding for n in bound([s])}
    wanted = {n for _, value in plan.trainer.values() for n in read(value)} & late
    if wanted:
        raise Distributed(
            f"the Trainer is asked for its rank before `{min(wanted)}`, which it needs, is known", first
        )
    return first
