"""Stage 1b, lowering: constructs that the stages behind do not know are written out in plainer Python first."""

from __future__ import annotations

import dataclasses

from litify_converter.lowering.bars import Bars
from litify_converter.lowering.base import Lowered, Lowering, apply
from litify_converter.lowering.brought import Brought
from litify_converter.lowering.constant_arguments import ConstantArguments
from litify_converter.lowering.epoch_counter import EpochCounter
from litify_converter.lowering.first_epoch import FirstEpoch
from litify_converter.lowering.given_back import GivenBack
from litify_converter.lowering.iterators import Iterators
from litify_converter.lowering.launched import Launched
from litify_converter.lowering.listed import Listed
from litify_converter.lowering.loop_else import LoopElse
from litify_converter.lowering.maybe_unbound import MaybeUnbound
from litify_converter.lowering.modes import Modes
from litify_converter.lowering.optional_processes import OptionalProcesses
from litify_converter.lowering.parallel import ParallelBars
from litify_converter.lowering.phases import Phases
from litify_converter.lowering.processes import OneProcess, Sharded
from litify_converter.lowering.redefined import Redefined
from litify_converter.lowering.skipped_epochs import SkippedEpochs
from litify_converter.lowering.starred import Starred
from litify_converter.lowering.start_kept import StartKept
from litify_converter.lowering.static_methods import StaticMethods
from litify_converter.lowering.sums import Sums
from litify_converter.lowering.tuples import Tuples
from litify_converter.lowering.wrappers import Wrappers
from litify_converter.read import Script, parse
from litify_converter.refusals import Refusal, UnreadableScript

LOWERINGS: tuple[Lowering, ...] = (
    Brought(),
    Redefined(),
    StaticMethods(),
    Starred(),
    Tuples(),
    GivenBack(),
    Iterators(),
    Sharded(),
    Launched(),
    OptionalProcesses(),
    OneProcess(),
    Wrappers(),
    ParallelBars(),
    Bars(),
    LoopElse(),
    EpochCounter(),
    SkippedEpochs(),
    FirstEpoch(),
    StartKept(),
    Phases(),
    Modes(),
    ConstantArguments(),
    Listed(),
    Sums(),
    MaybeUnbound(),
)
MOST = 60  # rewrites of one script; each makes it plainer, so this is never reached


def lower(script: Script) -> Script:
    """The script in plainer Python that trains the same; the script itself where there is nothing to rewrite.

    Raises:
        Refusal: a construct that can't be rewritten, and that no later stage can convert; its line is the original's.
    """
    useless: set[str] = set()  # lowerings whose result could not be read: the script stays as it was
    for _ in range(MOST):
        plainer, name = _one_step(script, useless)
        if name is None:
            return script
        if plainer is None:
            useless.add(name)
        else:
            script = plainer
    return script


def _one_step(script: Script, useless: set[str]) -> tuple[Script | None, str | None]:
    """The script after the first lowering that finds something, and that lowering's name."""
    for lowering in LOWERINGS:
        if lowering.name in useless or not any(word in script.text for word in lowering.words):
            continue
        try:
            found = lowering.find(script)
        except Refusal as refusal:
            refusal.line = script.original_line(refusal.line)
            raise
        if found is not None:
            try:
                return _rewritten(script, found), lowering.name
            except UnreadableScript:
                return None, lowering.name
    return None, None


def _rewritten(script: Script, found: Lowered) -> Script:
    before = script.lines or tuple(range(1, script.text.count("\n") + 2))
    text, lines = apply(script.text, before, found.edits)
    return dataclasses.replace(
        parse(text, script.path),
        lines=tuple(lines),
        original=None if found.is_source else script.original or script,
        notes=(*script.notes, *found.notes),
        trainer={**script.trainer, **found.trainer},
    )


__all__ = ["lower"]
