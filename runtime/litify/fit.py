"""A batch's whole way through training: fit > train_epoch > train_batch > optimize > optimizer_step.

The hooks of a LightningModule (M), callbacks (C) and data (D), in the order in which one fit runs them:

    prepare_data D · setup D C M · configure_model · configure_optimizers · on_fit_start C M
    sanity check: on_sanity_check_start C · some batches of validation · on_sanity_check_end C
    train_dataloader · val_dataloader · on_train_start C M
    for each epoch:
        on_train_epoch_start C M
        for each batch:
            on_before_batch_transfer · transfer_batch_to_device · on_after_batch_transfer
            on_train_batch_start C M
            optimizer_step M, which calls a closure:
                training_step M
                on_before_zero_grad C M · optimizer_zero_grad M
                on_before_backward C M · backward M · on_after_backward C M
            ... then on_before_optimizer_step C M · configure_gradient_clipping M · the step itself
            lr_scheduler_step M
            on_train_batch_end C M
            validation, when it is due (`evaluate.py`)
        on_train_epoch_end C M, then C that monitor a metric
        lr_scheduler_step M of schedulers that watch a metric
    on_train_end C M · on_fit_end C M · teardown D C M
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from litify import evaluate
from litify.due import next_due, steps_after, validates_in, validation_due
from litify.errors import MisconfigurationException
from litify.hooks import run
from litify.job import FitJob
from litify.optim import step_schedulers
from litify.outputs import as_outputs, check_loss, loss_of, refuse_no_loss
from litify.rank_zero import warn
from litify.seed import isolate_rng, set_rng_state
from litify.state import Phase, RunningStage, State
from litify.stopping import is_done, stops_now

END = object()  # what `next` gives where the batches are over


def fit(job: FitJob) -> None:
    """Train until epochs, steps or time are used up, or a callback says stop."""
    state, trainer = job.state, job.trainer
    sanity_check(job)
    trainer.enter(RunningStage.TRAINING, job.results)
    torch.set_grad_enabled(True)
    if trainer.limit_train_batches == 0:
        return
    job.load()
    if is_done(job, state):
        return
    if job.validation is not None and validates_in(job, state.epoch):
        job.validation.load()  # now, so that progress bars know their length
    if (
        state.phase is Phase.EPOCH_END
    ):  # resumed from a checkpoint of on_train_epoch_end: what came after it is still due
        if job.resume and state.is_last_batch and job.automatic:
            step_lr(job, "epoch", state.epoch, plateau=True)
        count_epoch(state)
    job.hooks.call("on_train_start")
    while True:
        train_epoch(job, state)
        if is_done(job, state):
            break
    job.hooks.call("on_train_end")


def sanity_check(job: FitJob) -> None:
    """Some validation batches before training, so that a mistake there shows now. Random state and metrics stay untouched."""
    trainer, validation, state = job.trainer, job.validation, job.state
    if validation is None or not trainer.num_sanity_val_steps or trainer.resumed_from is not None:
        return
    with isolate_rng():
        trainer.enter(RunningStage.SANITY_CHECKING, validation.results)
        job.hooks.call("on_sanity_check_start")
        evaluate.evaluate(validation, most=trainer.num_sanity_val_steps)
        job.hooks.call("on_sanity_check_end")
        trainer.forget_metrics()
    state.val_batch_idx = -1


def train_epoch(job: FitJob, state: State) -> None:
    """One epoch: its batches, validation when due, and what follows the last batch."""
    batch_idx = start_epoch(job, state)
    trainer, results, loaders = job.trainer, job.results, job.loaders
    assert loaders is not None
    batches, iterator, plain = loaders.num_batches, job.iterator, job.is_plain
    while batch_idx < batches:
        if plain and batch_idx + 1 < batches and not trainer.should_stop:
            batch_idx = plain_batches(job, state, batch_idx)
            if batch_idx < 0:
                break
        else:
            try:
                batch = next(iterator)
            except StopIteration:
                end_unsized(job, state, batch_idx)
                break
            state.batch_idx = batch_idx
            state.total_batches += 1
            state.is_last_batch = batch_idx + 1 == batches
            if job.transfer.steps:
                batch = job.transfer(batch)
            if not train_batch(job, state, batch, batch_idx):
                break
            after_batch(job, state, batch_idx)
            batch_idx += 1
        if trainer.max_steps != -1 and state.optimizer_steps >= trainer.max_steps:
            break
        if trainer.should_stop and stops_now(job, state):
            break
    else:
        if loaders.is_whole and batches:
            next(iterator, None)  # as the `for` of a hand-written loop does: generators run to their end
    results.hook = None
    end_epoch(job, state)


def plain_batches(job: FitJob, state: State, first: int) -> int:
    """The batches from `first` up to one after which something is due, but not the epoch's last.

    For a job where nothing has a say but the module's step and hooks after it (`FitJob.is_plain`): the hand-written loop, in
    one frame, because a Python call between two steps costs more than the work that it does.

    Returns:
        Index of the batch that comes next; -1 where the loader, one without a length, has ended.
    """
    trainer, results, batch_end = job.trainer, job.results, job.batch_end
    iterator, transfer, step, zero_grad = job.iterator, job.transfer, job.step, job.zero_first
    optimizer_step = job.optimizers[0].step
    assert zero_grad is not None and job.loaders is not None
    due = next_due(job, state, first)
    state.is_last_batch = False
    batch_idx = first
    for batch_idx in range(first, min(due + 1, int(min(job.loaders.num_batches, sys.maxsize)) - 1)):
        results.hook = "training_step"
        batch = next(iterator, END)
        if batch is END:
            end_unsized(job, state, batch_idx)
            return -1
        state.batch_idx = batch_idx
        state.total_batches += 1
        if transfer.steps:
            batch = transfer(batch)
        if batch is None:
            train_batch(job, state, None, batch_idx)
        else:
            results.batch = batch
            output = step(batch, batch_idx)
            loss = output if output.__class__ is Tensor else loss_of(output)
            zero_grad()
            if loss is not None:
                try:
                    loss.backward()  # type: ignore[no-untyped-call]
                except RuntimeError:
                    check_loss(loss)
                    raise
            elif job.strategy.world_size > 1:
                refuse_no_loss(job.module, job.strategy.world_size)
            optimizer_step()
            state.optimizer_steps += 1
            state.batch = batch_idx + 1
            if batch_end:
                end_batch(job, state, output, batch, batch_idx)
                state.phase = Phase.BATCHES
        if batch_idx == due or trainer.should_stop or trainer.interrupt_asked:
            after_batch(job, state, batch_idx)
            break
        state.batches_stepped += 1
    return batch_idx + 1


def start_epoch(job: FitJob, state: State) -> int:
    """Loaders, samplers and hooks of a new epoch, or the place in one that a checkpoint stopped in. Returns the first index."""
    trainer = job.trainer
    job.load()
    job.accumulate = trainer.accumulate_grad_batches if job.automatic else 1
    if state.phase in (Phase.BATCHES, Phase.BATCH_END, Phase.VALIDATED):
        return resume_epoch(job, state)
    if job.resume is not None:
        job.restore_loaders()
        if job.resume.get("iterated"):  # the first epoch's iterator is made before on_train_start
            restore_rng(job, "epoch_rng")
            job.iterate()
        restore_rng(job, "rng")
        job.resume = None
    state.batch = 0
    state.is_last_batch = False
    job.hooks.call("on_train_epoch_start")
    job.accumulate = trainer.accumulate_grad_batches if job.automatic else 1  # a callback may schedule it
    state.phase = Phase.BATCHES
    job.results.in_batch = True
    if job.iterator is None:
        job.iterate()
    return 0


def resume_epoch(job: FitJob, state: State) -> int:
    """Go on in the middle of an epoch: its batches in the same order, those done already passed over. Returns the next index."""
    restore_rng(job, "epoch_rng")
    done = 0 if job.restore_loaders(within_epoch=True) else state.batch
    job.iterate()
    assert job.loaders is not None
    for _ in range(done):
        turn = next(job.iterator, None)
        if job.fetches and turn is not None:
            next(turn)
    restore_rng(job, "rng")
    job.resume = None
    job.results.in_batch = True
    state.batch_idx = state.batch - 1
    state.is_last_batch = state.batch >= job.loaders.num_batches
    phase, state.phase = state.phase, Phase.BATCHES
    if phase is Phase.BATCH_END:
        after_batch(job, state, state.batch_idx)
    elif phase is Phase.VALIDATED:
        count_batch(job, state, state.batch_idx)
    return state.batch


def restore_rng(job: FitJob, key: str) -> None:
    """Random states as a checkpoint of ours kept them; those of others hold none."""
    kept = dict((job.resume or {}).get(key, {}))
    if len(kept.get("torch.cuda", ())) != torch.cuda.device_count():
        kept.pop("torch.cuda", None)  # written on a machine with more or fewer GPUs
    if kept:
        set_rng_state(kept)


def train_batch(job: FitJob, state: State, batch: Any, batch_idx: int) -> bool:
    """A batch from its first hook to its last. False: a hook asked to skip the rest of the epoch."""
    results = job.results
    results.batch = batch
    if batch is None:
        warn("The train loader yielded None; the batch is skipped.")
        return True
    if job.batch_start:
        results.hook = "on_train_batch_start"
        for hook in job.batch_start:
            hook(batch, batch_idx)
    if job.own_batch_start is not None:
        results.hook = "on_train_batch_start"
        if job.own_batch_start(batch, batch_idx) == -1:
            state.is_last_batch = True
            step_lr_after_batch(job, state, batch_idx)
            return False
    output = optimize(job, state, batch, batch_idx) if job.automatic else manual_step(job, batch, batch_idx)
    if job.fetches:
        state.is_last_batch = batch.is_over
    if job.configs:
        step_lr_after_batch(job, state, batch_idx)
    state.batch = batch_idx + 1
    if job.batch_end:
        end_batch(job, state, output, batch, batch_idx)
    return True


def end_batch(job: FitJob, state: State, output: Any, batch: Any, batch_idx: int) -> None:
    state.phase = Phase.BATCH_END
    job.results.hook = "on_train_batch_end"
    outputs = as_outputs(output)
    for hook in job.batch_end:
        hook(outputs, batch, batch_idx)


def optimize(job: FitJob, state: State, batch: Any, batch_idx: int) -> Any:
    """Automatic optimization of one batch. Returns what training_step returned."""
    results, accumulate = job.results, job.accumulate
    output: Any = None

    def forward_backward() -> Tensor | None:
        nonlocal output
        results.hook = "training_step"
        output = job.step(batch, batch_idx)
        loss = output if output.__class__ is Tensor else loss_of(output)
        if accumulate == 1 or batch_idx % accumulate == 0:
            if job.zero_first is not None:
                job.zero_first()
            else:
                zero_grad(job, state, batch_idx)
        if loss is not None:
            share = loss if accumulate == 1 else loss / window_of(job, batch_idx)
            try:
                if job.plain_backward:
                    share.backward()  # type: ignore[no-untyped-call]
                else:
                    backward(job, share)
            except RuntimeError:
                check_loss(loss)
                raise
        elif job.strategy.world_size > 1:
            refuse_no_loss(job.module, job.strategy.world_size)
        return loss

    if accumulate == 1 or steps_after(job, state, batch_idx):
        optimizer_step(job, state, batch_idx, forward_backward)
    elif job.blocks_sync is None:
        forward_backward()
    else:
        with job.blocks_sync():
            forward_backward()
    return output


def window_of(job: FitJob, batch_idx: int) -> int:
    """Number of batches whose gradients make this step; the last window of an epoch may be shorter, and weighs the same."""
    if job.accumulate == 1:
        return 1
    first = batch_idx - batch_idx % job.accumulate
    return int(min(job.accumulate, job.trainer.num_training_batches - first))


def zero_grad(job: FitJob, state: State, batch_idx: int) -> None:
    optimizer = job.optimizers[0]
    if job.before_zero_grad:
        job.results.hook = "on_before_zero_grad"
        for hook in job.before_zero_grad:
            hook(optimizer)
    if job.own_zero_grad is None:
        optimizer.zero_grad()
    else:
        job.results.hook = "optimizer_zero_grad"
        job.own_zero_grad(state.epoch, batch_idx, optimizer)


def backward(job: FitJob, loss: Tensor, *args: Any, **kwargs: Any) -> None:
    """Backward with its hooks; the same under automatic and manual optimization."""
    if job.scale is not None:
        loss = job.scale(loss)
    if job.before_backward:
        job.results.hook = "on_before_backward"
        for hook in job.before_backward:
            hook(loss)
    if job.own_backward is None:
        loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]
    else:
        job.results.hook = "backward"
        job.own_backward(loss, *args, **kwargs)
    if job.after_backward:
        job.results.hook = "on_after_backward"
        for hook in job.after_backward:
            hook()


def optimizer_step(job: FitJob, state: State, batch_idx: int, closure: Callable[[], Any]) -> None:
    """The closure, then clipping, then the step; or the module's own `optimizer_step`, which gets the same closure."""
    if job.own_optimizer_step is None:
        job.step_first(closure)
    else:
        job.results.hook = "optimizer_step"
        ran = []

        def noted() -> Any:
            ran.append(True)
            return closure()

        job.own_optimizer_step(state.epoch, batch_idx, job.wrapped[0], noted)
        if not ran:
            raise MisconfigurationException(
                f"{type(job.module).__name__}.optimizer_step did not call its closure, which computes the gradients; pass it to optimizer.step."
            )
    state.optimizer_steps += 1


def manual_step(job: FitJob, batch: Any, batch_idx: int) -> Any:
    """Manual optimization: training_step does it all, by way of `manual_backward` and `LightningOptimizer.step`."""
    job.results.hook = "training_step"
    output = job.step(batch, batch_idx)
    if output is not None and not isinstance(output, (Tensor, dict)):
        raise MisconfigurationException(
            f"training_step returned {type(output).__name__}; return a tensor, a dictionary or None."
        )
    return output


def step_lr_after_batch(job: FitJob, state: State, batch_idx: int) -> None:
    """Schedulers that watch no metric: those by step, and at the end of an epoch those by epoch."""
    if job.automatic and steps_after(job, state, batch_idx):
        step_lr(job, "step", batch_idx, plateau=False)
    if job.automatic and state.is_last_batch:
        step_lr(job, "epoch", state.epoch, plateau=False)


def step_lr(job: FitJob, interval: str, index: int, plateau: bool) -> None:
    job.results.hook = "lr_scheduler_step"
    metrics = lambda: job.trainer.callback_metrics  # noqa: E731
    step_schedulers(job.configs, interval, index, plateau, metrics, job.own_scheduler_step)


def after_batch(job: FitJob, state: State, batch_idx: int) -> None:
    """Loggers, validation and schedulers that watch a metric: when one of them is due."""
    trainer = job.trainer
    stepped = job.accumulate == 1 or steps_after(job, state, batch_idx)
    if stepped and trainer.log_every_n_steps and job.results.logs_steps:
        due = (state.batches_stepped + 1) % trainer.log_every_n_steps == 0
        if due or trainer.should_stop or trainer.fast_dev_run:
            trainer.send_metrics(job.results.collect()[1])
    if job.validation is not None and validation_due(job, state, batch_idx):
        validate(job, state)
    if stepped:
        count_batch(job, state, batch_idx)
    if job.batch_end or job.validation is not None:
        state.phase = Phase.BATCHES
    if trainer.interrupt_asked is not None:
        trainer.interrupt_asked()


def count_batch(job: FitJob, state: State, batch_idx: int) -> None:
    """The end of a batch after which an optimizer stepped."""
    if job.configs and job.automatic:
        step_lr(job, "step", batch_idx, plateau=True)
    state.batches_stepped += 1


def validate(job: FitJob, state: State) -> None:
    """Validation within fit: metrics of training are put aside and come back."""
    trainer, validation = job.trainer, job.validation
    assert validation is not None
    trainer.publish(job.results)
    state.phase = Phase.VALIDATED
    trainer.enter(RunningStage.VALIDATING, validation.results)
    hook, job.results.hook = job.results.hook, None
    if job.automatic and steps_after(job, state, state.batch_idx):
        # Their memory is wanted. Under manual optimization gradients may be meant to last, and stay.
        if job.own_model_zero_grad is not None:
            run((job.own_model_zero_grad,), "on_validation_model_zero_grad", validation.results)
        else:
            for parameter in job.parameters:
                parameter.grad = None
    evaluate.evaluate(validation)
    trainer.last_val_time = time.monotonic()
    trainer.enter(RunningStage.TRAINING, job.results)
    job.results.hook = hook


def end_unsized(job: FitJob, state: State, batch_idx: int) -> None:
    """A loader without a length has ended: what could not be known at its last batch happens now."""
    if batch_idx == 0:
        warn("The train loader yielded no batch in this epoch.")
    if batch_idx == 0 or (job.fetches and state.is_last_batch):
        return
    state.is_last_batch = True
    left = batch_idx % job.accumulate
    if job.automatic and left:
        scale_gradients(job, job.accumulate / left)
        optimizer_step(job, state, batch_idx - 1, lambda: None)
    if job.configs and job.automatic:
        step_lr(job, "epoch", state.epoch, plateau=False)
    if job.validation is not None and job.val_every == math.inf and validation_due(job, state, batch_idx - 1):
        validate(job, state)


def scale_gradients(job: FitJob, factor: float) -> None:
    """Make up for having divided by more batches than there were."""
    for group in job.optimizers[0].param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.mul_(factor)


def end_epoch(job: FitJob, state: State) -> None:
    """Epoch metrics, hooks, schedulers that watch a metric, loggers."""
    trainer, hooks, results = job.trainer, job.hooks, job.results
    trainer.publish(results)
    results.end_batches()
    state.epochs_processed += 1
    state.phase = Phase.EPOCH_END
    job.iterator = None
    for monitoring in (False, None, True):
        found = (
            (hooks.of_module("on_train_epoch_end"),)
            if monitoring is None
            else hooks.of_callbacks("on_train_epoch_end", monitoring)
        )
        run(tuple(hook for hook in found if hook), "on_train_epoch_end", results)
    trainer.publish(results)
    if state.is_last_batch and job.configs and job.automatic and not job.without_metrics:
        step_lr(job, "epoch", state.epoch, plateau=True)
    job.without_metrics = False
    trainer.send_metrics(results.collect()[1], behind=1)
    results.reset()
    results.hook = None
    count_epoch(state)


def count_epoch(state: State) -> None:
    state.epoch += 1
    state.phase = Phase.BETWEEN
