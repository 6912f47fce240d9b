"""Validate, test and predict: one pass over the data for the three.

on_{kind}_model_eval M · on_{kind}_start C M · on_{kind}_epoch_start C M
for each loader, for each batch:
    on_{kind}_batch_start C M · {kind}_step M · on_{kind}_batch_end C M
on_{kind}_epoch_end C M · metrics to the loggers · on_{kind}_end C M · on_{kind}_model_train M
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch

from litify.data import Loaders, OnDemand
from litify.hooks import run
from litify.job import EvalJob
from litify.metrics import Metrics
from litify.rank_zero import warn

Batch = tuple[Any, int, int | None]


def evaluate(job: EvalJob, most: float = math.inf, inference_mode: bool = False) -> list[Metrics]:
    """One pass. Returns, per loader, what was logged there; for predict nothing (see `predict`).

    Args:
        most: at most so many batches of each loader, for the sanity check.
        inference_mode: torch.inference_mode in place of torch.no_grad: cheaper, but its tensors can't be trained with.
    """
    context = without_gradients(job, inference_mode)
    if job.limit == 0:
        return []
    with context:
        loaders = job.load()
        limits = [min(limit, most) for limit in loaders.limits]
        if sum(limits) == 0:
            return []
        loaders.set_epoch(job.trainer.strategy, job.state.epochs_processed)
        batches = iterate(job, loaders, limits)
        modes = start(job)
        if job.loaders is not loaders:  # a hook wants them anew (BatchSizeFinder)
            batches = iterate(job, job.load(), [min(limit, most) for limit in job.load().limits])
        logged = run_batches(job, batches)
        logged = end(job, logged)
        leave_eval(job, modes)
    return logged


def predict(job: EvalJob, keep: bool, inference_mode: bool) -> list[Any]:
    """One pass of predict_step. Returns, per loader, the list of predictions; empty lists when they are not kept."""
    context = without_gradients(job, inference_mode)
    predictions: list[list[Any]] = []
    empty = False
    if job.limit == 0:
        return []
    with context:
        loaders = job.load()
        if sum(loaders.limits) == 0:
            return []
        predictions = [[] for _ in loaders.flat]
        batches = iterate(job, loaders, loaders.limits)
        modes = start(job)
        if job.loaders is not loaders:  # a hook wants them anew (BatchSizeFinder)
            batches = iterate(job, job.load(), job.load().limits)
        for batch, batch_idx, loader_idx in batches:
            output = eval_batch(job, batch, batch_idx, loader_idx)
            empty = empty or output is None
            if keep:
                predictions[loader_idx or 0].append(output)
        if empty:
            warn(
                f"{type(job.module).__name__}.predict_step returned None for some batches; return its predictions, unless that is meant."
            )
        job.hooks.call("on_predict_epoch_end")
        job.hooks.call("on_predict_end")
        leave_eval(job, modes)
    return predictions


def without_gradients(job: EvalJob, inference_mode: bool) -> AbstractContextManager[Any]:
    return torch.inference_mode() if inference_mode and job.trainer.strategy.infers else torch.no_grad()


def iterate(job: EvalJob, loaders: Loaders, limits: list[float]) -> Iterator[Batch]:
    """Batches with their index and, where there are several loaders one after another, the loader's index.

    The first iterator is made at once, before any hook: it may draw from the random state.
    """
    if loaders.combined is not None and not loaders.sequential:
        batches = _together(loaders, min(loaders.num_batches, max(limits)))
    else:
        batches = _one_after_another(loaders, limits, iter(loaders.flat[0]))
    if job.trainer.world_size > 1:
        batches = job.trainer.strategy.in_company(batches, limits)
    if not job.fetches:
        return batches
    turns = OnDemand(batches, job.fetched).turns()
    return ((on_demand, index, None) for index, on_demand in enumerate(turns))


def _together(loaders: Loaders, limit: float) -> Iterator[Batch]:
    for batch_idx, batch in enumerate(loaders.iterate()):
        if batch_idx >= limit:
            return
        yield batch, batch_idx, None


def _one_after_another(loaders: Loaders, limits: list[float], first: Iterator[Any]) -> Iterator[Batch]:
    several = len(loaders.flat) > 1
    for loader_idx, (loader, limit) in enumerate(zip(loaders.flat, limits, strict=True)):
        iterator = iter(loader) if loader_idx else first
        batch_idx = 0
        while batch_idx < limit:
            try:
                batch = next(iterator)
            except StopIteration:
                break
            yield batch, batch_idx, loader_idx if several else None
            batch_idx += 1
        else:
            if limit and not several and loaders.is_whole and limit == loaders.limits[0]:
                next(iterator, None)  # as a `for` does: generators run to their end


def start(job: EvalJob) -> list[tuple[torch.nn.Module, bool]]:
    """Eval mode and the first hooks. Returns each module's mode."""
    modes = [(module, module.training) for module in job.module.modules()]
    run((getattr(job.module, f"on_{job.kind}_model_eval"),), f"on_{job.kind}_model_eval", job.results)
    job.hooks.call(f"on_{job.kind}_start")
    job.hooks.call(f"on_{job.kind}_epoch_start")
    return modes


def leave_eval(job: EvalJob, modes: list[tuple[torch.nn.Module, bool]]) -> None:
    """Each module's mode as it was, or as the module's own hook wants it."""
    name = f"on_{job.kind}_model_train"
    if job.sets_train_mode:
        run((getattr(job.module, name),), name, job.results)
        return
    for module, training in modes:
        module.training = training


def run_batches(job: EvalJob, batches: Iterator[Batch]) -> list[Metrics]:
    """All batches. Returns the epoch metrics of each loader."""
    trainer, results = job.trainer, job.results
    assert results is not None
    logged: list[Metrics] = []
    previous: int | None = None
    sanity = trainer.sanity_checking
    for batch, batch_idx, loader_idx in batches:
        if loader_idx is not None and previous is not None and loader_idx != previous:
            results.end_batches()
            logged.append(keep(job))
        previous = loader_idx
        eval_batch(job, batch, batch_idx, loader_idx)
        results.hook = None
        if results.logs_steps:
            step_values = trainer.publish(results)
            if not sanity:
                seen = job.seen.get(loader_idx, 0)
                trainer.send_metrics(step_values, step=seen)
                job.seen[loader_idx] = seen + 1
    results.end_batches()
    logged.append(keep(job))
    return logged


def eval_batch(job: EvalJob, batch: Any, batch_idx: int, loader_idx: int | None) -> Any:
    """A batch from its first hook to its last. Returns what the step returned."""
    results = job.results
    job.state.val_batch_idx = batch_idx
    if job.transfer.steps:
        batch = job.transfer(batch, loader_idx or 0)
    where = (batch_idx,) if loader_idx is None else (batch_idx, loader_idx)
    if results is not None:
        results.start_batch(batch, loader_idx)
        results.hook = f"on_{job.kind}_batch_start"
    for hook in job.batch_start:
        hook(batch, *where)
    if results is not None:
        results.hook = f"{job.kind}_step"
    output = job.step(batch, *(where if job.takes_batch_idx else where[1:]))
    if results is not None:
        results.hook = f"on_{job.kind}_batch_end"
    for hook in job.batch_end:
        hook(output, batch, *where)
    return output


def keep(job: EvalJob) -> Metrics:
    """Epoch metrics of the loader just done, also for callbacks to see."""
    assert job.results is not None
    return {} if job.trainer.sanity_checking else job.trainer.publish(job.results)


def end(job: EvalJob, logged: list[Metrics]) -> list[Metrics]:
    """The last hooks; metrics of all loaders go to the loggers in one go."""
    trainer, results = job.trainer, job.results
    assert results is not None
    results.idx = None
    job.hooks.call(f"on_{job.kind}_epoch_end")
    if not trainer.sanity_checking:
        last = trainer.publish(results)
        everything: Metrics = {}
        for metrics in logged:
            metrics.update(last)
            everything.update(metrics)
        everything.update(last)
        trainer.send_metrics(everything)
    job.hooks.call(f"on_{job.kind}_end")
    results.reset()
    return logged
