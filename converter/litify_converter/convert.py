"""A script's whole way: read, lowering, regions, plan, idioms, lifetimes, emit, finish, report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path

from litify_converter.emit import Emitter
from litify_converter.epochs import share_epoch
from litify_converter.finish import finish
from litify_converter.idioms.automatic import AutomaticOptimization
from litify_converter.improve import improve
from litify_converter.ir import Nest, Plan, item_lines
from litify_converter.lifetimes import find_homes
from litify_converter.lightning import iterate_once
from litify_converter.lowering import lower
from litify_converter.plan import general_plan, leave_loops
from litify_converter.read import Script, parse, read
from litify_converter.refusals import NotIdiomatic, Refusal
from litify_converter.regions import find_nest, refuse_already_converted


@dataclass(frozen=True)
class Conversion:
    """What convert gives: the text of the result, and how it came about."""

    text: str
    script: Script
    nest: Nest
    plan: Plan
    earlier: tuple[Plan, ...] = ()  # of a script with several loops, those of the loops before

    def plan_text(self) -> str:
        """The plan as short stable text."""
        lines = []
        for name, hook in self.plan.hooks.items():
            lines.append(f"{name}({', '.join(hook.parameters)}):")
            lines += [f"  {line}" for item in hook.items for line in item_lines(item)]
        return "\n".join(lines)


def convert(path: Path, target: str = "litify", style: str = "auto") -> Conversion:
    """Convert one script.

    Args:
        path: a raw PyTorch training script.
        target: the package the result imports from, "litify" or "lightning".
        style: "auto" (idiomatic wherever proven), "idiomatic" (refused where one optimizer's step can't be proven to be what
            automatic optimization does) or "verbatim" (the general form).

    Raises:
        UnreadableScript: the file can't be read as Python 3.
        Refusal: the script can't be converted faithfully; the message says why, `line` where.
    """
    return convert_script(read(path), target, style)


def convert_script(script: Script, target: str = "litify", style: str = "auto") -> Conversion:
    """Convert a script that has been read; see `convert`."""
    refuse_already_converted(script)
    plain = lower(script)
    notes = list(plain.notes)
    earlier: list[Plan] = []
    while True:
        try:
            nest = find_nest(plain)
            nest = replace(nest, of_several=bool(earlier) or nest.further > 0)
            conversion = _convert_nest(plain, nest, target, style)
        except Refusal as refusal:
            refusal.line = plain.original_line(refusal.line)
            raise
        notes += [replace(n, line=plain.original_line(n.line) or 0) for n in conversion.plan.notes]
        if not conversion.nest.further:
            conversion.plan.notes = notes
            return replace(conversion, earlier=tuple(earlier))
        earlier.append(conversion.plan)
        plain = _with_one_loop_less(conversion)


def _with_one_loop_less(conversion: Conversion) -> Script:
    """The result for the first of several loops, as a script whose lines know those of the original."""
    script = conversion.script
    before = [line.strip() for line in script.text.splitlines()]
    after = [line.strip() for line in conversion.text.splitlines()]
    lines = [0] * len(after)
    for at, other, size in SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks():
        for number in range(size):
            lines[other + number] = script.original_line(at + number + 1) or 0
    known = 1
    for number, line in enumerate(lines):
        known = lines[number] = line or known
    return replace(parse(conversion.text, script.path), lines=tuple(lines))


def _convert_nest(script: Script, nest: Nest, target: str, style: str) -> Conversion:
    plan = general_plan(script, nest)
    if style != "verbatim":
        plan = improve(script, plan)
    if style == "idiomatic":
        _demand_idiomatic(plan)
    if target == "lightning":
        iterate_once(plan)
    leave_loops(plan)
    share_epoch(script, plan)
    text = Emitter(script, plan, find_homes(script, plan), target).emit()
    return Conversion(finish(text, script), script, nest, plan)


def _demand_idiomatic(plan: Plan) -> None:
    """Several optimizers under manual optimization are idiomatic too: Lightning has no other way."""
    left_out = f"{AutomaticOptimization.name} left out: "
    for note in plan.notes:
        if note.text.startswith(left_out) and len(plan.optimizers) == 1:
            raise NotIdiomatic(f"not idiomatic: {note.text.removeprefix(left_out)}", note.line)
