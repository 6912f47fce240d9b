"""Stage 5b, idioms: the general plan is made idiomatic, rewrite by rewrite, as far as each can be proven."""

from __future__ import annotations

from collections.abc import Sequence

from litify_converter.idioms.after_step import AfterStep
from litify_converter.idioms.automatic import AutomaticOptimization
from litify_converter.idioms.base import Idiom, Unproven
from litify_converter.idioms.batch_moves import BatchMoves
from litify_converter.idioms.build import BuildInModule
from litify_converter.idioms.data_module import DataModule
from litify_converter.idioms.epoch_break import EpochBreak
from litify_converter.idioms.evaluation import Evaluation
from litify_converter.idioms.full_batch import FullBatchEvaluation
from litify_converter.idioms.late_numbers import LateNumbers
from litify_converter.idioms.methods import Methods
from litify_converter.idioms.metrics import EpochMetrics
from litify_converter.idioms.modes import NeverEvaluated
from litify_converter.idioms.one_writer import OneWriter
from litify_converter.idioms.progress import LogLoss, ProgressPrint
from litify_converter.idioms.scheduler import ReturnedScheduler
from litify_converter.idioms.setup import DeadSetup, MainFunction
from litify_converter.idioms.several_loaders import SeveralLoaders
from litify_converter.idioms.start_values import StartValues
from litify_converter.ir import Note, Plan
from litify_converter.read import Script

# In this order: each sees the plan as the ones before left it.
IDIOMS = (
    EpochBreak(),
    Evaluation(),
    SeveralLoaders(),
    NeverEvaluated(),
    AutomaticOptimization(),
    AfterStep(),
    FullBatchEvaluation(),
    ReturnedScheduler(),
    ProgressPrint(),
    BatchMoves(),
    EpochMetrics(),
    LateNumbers(),
    LogLoss(),
    OneWriter(),
    Methods(),
    MainFunction(),
    BuildInModule(),
    StartValues(),
    DeadSetup(),
    DataModule(),
)


def improve(script: Script, plan: Plan, idioms: Sequence[Idiom] = IDIOMS) -> Plan:
    """The plan with every idiom applied whose condition holds; the report says which condition failed for the others."""
    for idiom in idioms:
        trial = plan.copy()
        try:
            if idiom.apply(script, trial):
                trial.idioms.append(idiom.name)
                plan = trial
        except Unproven as reason:
            plan.notes.append(Note("look", reason.line, f"{idiom.name} left out: {reason}"))
    return plan
