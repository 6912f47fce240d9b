"""A script's whole way: read, lowering, regions, plan, idioms, lifetimes, emit, finish, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path

from litify_converter.emit import Emitter
from litify_converter.epochs import share_epoch
from litify_converter.finish import finish
from litify_converter.idioms.automatic import AutomaticOptimization
from litify_converter.idioms.base import Idiom
from litify_converter.idioms.setup import MainFunction
from litify_converter.improve import IDIOMS, improve
from litify_converter.ir import Nest, Plan, item_lines
from litify_converter.lifetimes import find_homes
from litify_converter.lightning import iterate_once
from litify_converter.lowering import lower
from litify_converter.notebook import Joined, is_notebook, join_file
from litify_converter.placement import place
from litify_converter.plan import general_plan, leave_loops
from litify_converter.read import Script, parse, read
from litify_converter.refusals import (
    AlreadyConverted,
    ConversionError,
    NothingToConvert,
    NotIdiomatic,
    Refusal,
)
from litify_converter.regions import find_nest, refuse_already_converted


@dataclass(frozen=True)
class Conversion:
    """What convert gives: the text of the result, and how it came about."""

    text: str
    script: Script
    nest: Nest
    plan: Plan
    earlier: tuple[Plan, ...] = ()  # of a script with several loops, those of the loops before
    joined: Joined | None = None  # the notebook, of which the script is the code

    def place(self, line: int) -> tuple[int | None, int | None]:
        """The cell (None in a script) and the line that a line of the script is."""
        return self.joined.place(line) if self.joined is not None else (None, line or None)

    def plan_text(self) -> str:
        """The plan as short stable text."""
        lines = []
        for name, hook in self.plan.hooks.items():
            lines.append(f"{name}({', '.join(hook.parameters)}):")
            lines += [f"  {line}" for item in hook.items for line in item_lines(item)]
        return "\n".join(lines)


def convert(path: Path, target: str = "litify", style: str = "auto", to_notebook: bool = False) -> Conversion:
    """Convert one script or notebook.

    Args:
        path: a raw PyTorch training script, or a notebook (.ipynb).
        target: the package the result imports from, "litify" or "lightning".
        style: "auto" (idiomatic wherever proven), "idiomatic" (refused where one optimizer's step can't be proven to be what
            automatic optimization does) or "verbatim" (the general form).
        to_notebook: of a notebook: the result can be taken apart into cells again, see `litify_converter.cells`.

    Raises:
        UnreadableScript: the file can't be read as Python 3.
        Refusal: the script can't be converted faithfully; the message says why, `line` (and in a notebook `cell`) where.
    """
    if is_notebook(path):
        joined = join_file(path, to_notebook)
        try:
            return _convert_joined(joined, path, target, style, to_notebook)
        except ConversionError as error:
            error.cell, error.line = joined.place(error.line)
            raise
    return convert_script(read(path), target, style)


def _convert_joined(joined: Joined, path: Path, target: str, style: str, to_notebook: bool) -> Conversion:
    """What only a notebook can run is a reason to refuse where there is something to convert, and then the first."""
    script = parse(joined.text, path)
    idioms = [one for one in IDIOMS if not (to_notebook and isinstance(one, MainFunction))]
    try:
        conversion = convert_script(script, target, style, idioms)
    except (NothingToConvert, AlreadyConverted):
        raise
    except Refusal as refusal:
        raise (joined.refusal or refusal) from None
    if joined.refusal is not None:
        raise joined.refusal
    conversion.plan.notes += [*joined.notes, *joined.told(conversion.text, to_notebook)]
    return replace(conversion, joined=joined)


def convert_script(
    script: Script, target: str = "litify", style: str = "auto", idioms: Sequence[Idiom] = IDIOMS
) -> Conversion:
    """Convert a script that has been read; see `convert`."""
    refuse_already_converted(script)
    plain = lower(script)
    notes = list(plain.notes)
    earlier: list[Plan] = []
    while True:
        try:
            nest = find_nest(plain)
            nest = replace(nest, of_several=bool(earlier) or nest.further > 0)
            conversion = _convert_nest(plain, nest, target, style, idioms)
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


def _convert_nest(script: Script, nest: Nest, target: str, style: str, idioms: Sequence[Idiom]) -> Conversion:
    plan = general_plan(script, nest)
    if style != "verbatim":
        plan = improve(script, plan, idioms)
    if style == "idiomatic":
        _demand_idiomatic(plan)
    if target == "lightning":
        iterate_once(script, plan)
    leave_loops(plan)
    share_epoch(script, plan)
    homes = find_homes(script, plan)
    place(script, plan, homes, style != "verbatim")
    text = Emitter(script, plan, homes, target).emit()
    return Conversion(finish(text, script), script, nest, plan)


def _demand_idiomatic(plan: Plan) -> None:
    """Several optimizers under manual optimization are idiomatic too: Lightning has no other way."""
    left_out = f"{AutomaticOptimization.name} left out: "
    for note in plan.notes:
        if note.text.startswith(left_out) and len(plan.optimizers) == 1:
            raise NotIdiomatic(f"not idiomatic: {note.text.removeprefix(left_out)}", note.line)
