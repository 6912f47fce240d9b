"""Trainings on the side: run within a fit, then undone, for searches such as that for a learning rate or a batch size."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from litify import evaluate
from litify.callbacks.base import Callback
from litify.fit import fit
from litify.hooks import HookTable
from litify.job import EvalJob, FitJob
from litify.loggers.dummy import DummyLogger
from litify.running import KINDS, has_validation
from litify.seed import isolate_rng
from litify.state import Phase, TrainerFn
from litify.transfer import apply

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from litify.optim import LRSchedulerConfig
    from litify.trainer import Trainer


@contextmanager
def aside(trainer: Trainer, callbacks: Sequence[Callback] = (), **changes: Any) -> Iterator[None]:
    """Within: trials, without the Trainer's own callbacks and loggers. After: everything is as it was, failed or not.

    Weights and optimizer states are kept on the CPU meanwhile, so that the device has the memory that training has.

    Args:
        changes: Trainer attributes for the trials, such as max_steps.
    """
    before = dict(vars(trainer))
    kept = _keep(trainer)
    trainer.callbacks = list(callbacks)
    trainer.loggers = [DummyLogger()] if trainer.loggers else []
    trainer.num_sanity_val_steps = 0
    trainer.forget_metrics()
    for name, value in changes.items():
        setattr(trainer, name, value)
    try:
        with isolate_rng():
            yield
    finally:
        vars(trainer).update(before)
        _put_back(trainer, kept)
        assert trainer.state.stage is not None
        trainer.enter(trainer.state.stage, trainer.results)


def _keep(trainer: Trainer) -> dict[str, Any]:
    strategy, module = trainer.strategy, trainer.module
    assert module is not None
    states = {
        "weights": strategy.module_state(),
        "optimizers": [strategy.optimizer_state(optimizer) for optimizer in trainer.optimizers],
        "precision": strategy.precision.state_dict(),
    }
    kept: dict[str, Any] = apply(states, lambda tensor: tensor.detach().cpu().clone())
    kept["schedulers"] = [
        copy.deepcopy(config.scheduler.state_dict()) for config in trainer.lr_scheduler_configs
    ]
    kept["modes"] = [(child, child.training) for child in module.modules()]
    return kept


def _put_back(trainer: Trainer, kept: dict[str, Any]) -> None:
    strategy = trainer.strategy
    strategy.load_module_state(kept["weights"])
    for optimizer, state in zip(trainer.optimizers, kept["optimizers"], strict=True):
        strategy.load_optimizer_state(optimizer, state)
        optimizer.zero_grad()
    for config, state in zip(trainer.lr_scheduler_configs, kept["schedulers"], strict=True):
        config.scheduler.load_state_dict(state)
    if kept["precision"]:
        strategy.precision.load_state_dict(kept["precision"])
    for child, training in kept["modes"]:
        child.training = training


def try_fit(
    trainer: Trainer, configs: list[LRSchedulerConfig], optimizers: list[Optimizer] | None = None
) -> FitJob:
    """Fit from the epoch and step that the Trainer stands at, with the optimizers there are or these. Within `aside`."""
    outer, outer_state, module = trainer.job, trainer.state, trainer.module
    assert outer is not None and module is not None
    trainer.state = replace(outer_state, phase=Phase.BETWEEN, batch=0, batch_idx=-1, is_last_batch=False)
    trainer.hooks = HookTable(trainer, trainer.callbacks, module)
    try:
        job = trainer.job = FitJob(trainer, module, trainer.hooks)
        job.take_optimizers(outer.optimizers if optimizers is None else optimizers, configs)
        if has_validation(trainer, module):
            job.validation = EvalJob(trainer, module, trainer.hooks, "validation")
        fit(job)
    finally:
        trainer.job, trainer.state = outer, outer_state
    return job


def try_evaluation(trainer: Trainer) -> EvalJob:
    """One pass of the running validate, test or predict. Within `aside`."""
    module, fn = trainer.module, trainer.state.fn
    assert module is not None and fn is not None
    trainer.hooks = HookTable(trainer, trainer.callbacks, module)
    job = EvalJob(trainer, module, trainer.hooks, KINDS[fn])
    assert trainer.state.stage is not None
    trainer.enter(trainer.state.stage, job.results)
    if fn is TrainerFn.PREDICTING:
        evaluate.predict(job, False, trainer.inference_mode)
    else:
        evaluate.evaluate(job, inference_mode=trainer.inference_mode)
    return job
