"""What is due after a training batch, and after which batch anything is."""

from __future__ import annotations

import math
import sys
import time

from litify.job import FitJob
from litify.state import State
from litify.stopping import may_stop


def next_due(job: FitJob, state: State, first: int) -> int:
    """Index of the next batch, from `first`, after which more is due than to count it."""
    trainer = job.trainer
    assert job.loaders is not None
    due: list[float] = [sys.maxsize, job.loaders.num_batches - 1]
    if trainer.fast_dev_run or trainer.val_check_seconds is not None:
        return first
    if trainer.max_steps != -1:
        due.append(first + trainer.max_steps - state.optimizer_steps - 1)
    if trainer.log_every_n_steps:
        due.append(first - (state.batches_stepped + 1) % -trainer.log_every_n_steps)
    if job.validation is not None and job.val_every != math.inf and validates_in(job, state.epoch):
        index = state.total_batches if trainer.check_val_every_n_epoch is None else first
        due.append(first - (index + 1) % -job.val_every)
    return int(min(due))


def validation_due(job: FitJob, state: State, batch_idx: int) -> bool:
    """Whether validation runs after this batch."""
    trainer = job.trainer
    if not validates_in(job, state.epoch):
        return False
    if trainer.should_stop and may_stop(job, state):
        return True
    if trainer.val_check_seconds is not None:
        return time.monotonic() - trainer.last_val_time >= trainer.val_check_seconds
    if job.val_every == math.inf:
        return state.is_last_batch
    index = state.total_batches - 1 if trainer.check_val_every_n_epoch is None else batch_idx
    return (index + 1) % job.val_every == 0


def validates_in(job: FitJob, epoch: int) -> bool:
    every = job.trainer.check_val_every_n_epoch
    return every is None or (epoch + 1) % every == 0


def steps_after(job: FitJob, state: State, batch_idx: int) -> bool:
    """Whether the optimizer steps after this batch: its window of accumulated batches is full, or the epoch ends."""
    return job.accumulate == 1 or (batch_idx + 1) % job.accumulate == 0 or state.is_last_batch
