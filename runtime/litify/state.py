"""The few numbers that change during training. Written by `fit.py` and `evaluate.py` alone; kept by checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class TrainerFn(str, Enum):
    """Which method of the Trainer runs; the `stage` that setup and teardown hooks get."""

    FITTING = "fit"
    VALIDATING = "validate"
    TESTING = "test"
    PREDICTING = "predict"

    __str__ = str.__str__
    __hash__ = str.__hash__  # a key of dictionaries as its text is


class RunningStage(str, Enum):
    """What is running now."""

    TRAINING = "train"
    SANITY_CHECKING = "sanity_check"
    VALIDATING = "validate"
    TESTING = "test"
    PREDICTING = "predict"

    __str__ = str.__str__
    __hash__ = str.__hash__  # a key of dictionaries as its text is

    @property
    def dataloader_prefix(self) -> str | None:
        """The prefix of the hook that gives its loaders."""
        return {"validate": "val", "sanity_check": "val"}.get(self.value, self.value)

    @property
    def evaluating(self) -> bool:
        return self in (RunningStage.VALIDATING, RunningStage.TESTING, RunningStage.SANITY_CHECKING)


class TrainerStatus(str, Enum):
    """How the latest call of fit, validate, test or predict stands."""

    INITIALIZING = "initializing"
    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"

    __str__ = str.__str__
    __hash__ = str.__hash__  # a key of dictionaries as its text is

    @property
    def stopped(self) -> bool:
        return self in (TrainerStatus.FINISHED, TrainerStatus.INTERRUPTED)


class Phase(str, Enum):
    """Where in an epoch a checkpoint was written, hence where fit goes on."""

    BETWEEN = "between"  # before the first epoch, or after one is over
    BATCHES = "batches"  # within an epoch, after `State.batch` whole batches
    BATCH_END = "batch_end"  # in on_train_batch_end: loggers and validation are still due
    VALIDATED = "validated"  # in validation after a batch: schedulers that watch a metric are still due
    EPOCH_END = "epoch_end"  # in on_train_epoch_end

    __str__ = str.__str__
    __hash__ = str.__hash__  # a key of dictionaries as its text is


@dataclass
class State:
    """Where fit stands. One per Trainer; a second `fit` of the same Trainer goes on from it."""

    fn: TrainerFn | None = None
    stage: RunningStage | None = None
    status: TrainerStatus = TrainerStatus.INITIALIZING

    epoch: int = 0
    """Epochs finished; `trainer.current_epoch`."""
    epochs_processed: int = 0
    """As `epoch`, but raised before on_train_epoch_end, where checkpoints are written."""
    batch: int = 0
    """Training batches finished in this epoch, counted before on_train_batch_end."""
    batch_idx: int = -1
    """Index of the running (or latest) training batch in its epoch."""
    total_batches: int = 0
    """Training batches begun in all epochs."""
    is_last_batch: bool = False
    optimizer_steps: int = 0
    """Steps of all optimizers; `trainer.global_step`."""
    batches_stepped: int = 0
    """Batches after which an optimizer stepped: the x axis of loggers."""
    phase: Phase = Phase.BETWEEN
    val_batch_idx: int = -1
    sanity_done: bool = field(default=False, repr=False)

    @property
    def finished(self) -> bool:
        return self.status is TrainerStatus.FINISHED

    @property
    def stopped(self) -> bool:
        return self.status.stopped


TrainerState = State  # what Lightning calls it
