"""A script's whole way: read, lowering, regions, plan, idioms, lifetimes, emit, finish, report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from litify_converter.emit import Emitter
from litify_converter.finish import finish
from litify_converter.improve import improve
from litify_converter.ir import Nest, Plan, item_lines
from litify_converter.lifetimes import find_homes
from litify_converter.lowering import lower
from litify_converter.plan import general_plan, leave_loops
from litify_converter.read import Script, read
from litify_converter.refusals import Refusal
from litify_converter.regions import find_nest


@dataclass(frozen=True)
class Conversion:
    """What convert gives: the text of the result, and how it came about."""

    text: str
    script: Script
    nest: Nest
    plan: Plan

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
        style: "auto" (idiomatic wherever proven) or "verbatim" (the general form).

    Raises:
        UnreadableScript: the file can't be read as Python 3.
        Refusal: the script can't be converted faithfully; the message says why, `line` where.
    """
    return convert_script(read(path), target, style)


def convert_script(script: Script, target: str = "litify", style: str = "auto") -> Conversion:
    """Convert a script that has been read; see `convert`."""
    plain = lower(script)
    try:
        conversion = _convert_lowered(plain, target, style)
    except Refusal as refusal:
        refusal.line = plain.original_line(refusal.line)
        raise
    notes = [replace(n, line=plain.original_line(n.line) or 0) for n in conversion.plan.notes]
    conversion.plan.notes = [*plain.notes, *notes]
    return conversion


def _convert_lowered(script: Script, target: str, style: str) -> Conversion:
    nest = find_nest(script)
    plan = general_plan(script, nest)
    if style == "auto":
        plan = improve(script, plan)
    leave_loops(plan)
    text = Emitter(script, plan, find_homes(script, plan), target).emit()
    return Conversion(finish(text, script), script, nest, plan)
