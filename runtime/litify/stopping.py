"""When training is over: epochs, steps, time, or because somebody asked."""

from __future__ import annotations

from litify.job import FitJob
from litify.rank_zero import say, warn
from litify.state import State


def is_done(job: FitJob, state: State) -> bool:
    """Whether no further epoch is due; says why."""
    trainer = job.trainer
    if trainer.num_training_batches == 0:
        say("litify: no training batches")
        return True
    if trainer.max_steps != -1 and state.optimizer_steps >= trainer.max_steps:
        trainer.stop_reason = f"max_steps={trainer.max_steps} reached"
        return True
    if trainer.max_epochs != -1 and state.epochs_processed >= trainer.max_epochs:
        state.epoch = state.epochs_processed
        trainer.stop_reason = f"max_epochs={trainer.max_epochs} reached"
        return True
    return trainer.should_stop and may_stop(job, state)


def may_stop(job: FitJob, state: State) -> bool:
    """Whether min_epochs and min_steps are met."""
    trainer = job.trainer
    epochs = not trainer.min_epochs or state.epochs_processed >= trainer.min_epochs
    return epochs and (not trainer.min_steps or state.optimizer_steps >= trainer.min_steps)


def stops_now(job: FitJob, state: State) -> bool:
    if may_stop(job, state):
        return True
    trainer = job.trainer
    warn(
        f"A stop was asked for, but min_epochs={trainer.min_epochs} or min_steps={trainer.min_steps} is not reached: going on."
    )
    return False
