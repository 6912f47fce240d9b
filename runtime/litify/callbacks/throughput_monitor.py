"""ThroughputMonitor: batches, samples and FLOPs per second, to the loggers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from litify.callbacks.base import Callback
from litify.due import steps_after
from litify.rank_zero import warn
from litify.state import RunningStage
from litify.utilities.throughput import Throughput, compute_dtype, get_available_flops

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer


class _Meter:
    """The totals of one stage since it started."""

    def __init__(self, throughput: Throughput) -> None:
        self.throughput = throughput
        self.begun = 0.0
        self.batches = self.samples = self.lengths = 0
        self.total = 0  # batches of all passes: the x axis of evaluation

    def start(self, anew: bool) -> None:
        if anew:
            self.throughput.reset()
            self.batches = self.samples = self.lengths = 0
        self.begun = time.perf_counter()


class ThroughputMonitor(Callback):
    """Logs rates of training, validation, test and prediction, every `log_every_n_steps`.

    Batches are taken to be equally large. FLOPs need `flops_per_batch` on the module, see `measure_flops`. On GPUs each step
    is waited for, which costs some of what is measured.

    Args:
        batch_size_fn: batch -> its samples.
        length_fn: batch -> its items, such as tokens.
        kwargs: arguments of Throughput: window_size, separator.
    """

    def __init__(
        self,
        batch_size_fn: Callable[[Any], int],
        length_fn: Callable[[Any], int] | None = None,
        **kwargs: Any,
    ) -> None:
        self.batch_size_fn, self.length_fn, self.kwargs = batch_size_fn, length_fn, kwargs
        self.available_flops: int | None = None
        self._throughputs: dict[str, _Meter] = {}
        self._warned = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        dtype = compute_dtype(trainer.precision)
        self.available_flops = get_available_flops(trainer.strategy.root_device, dtype)
        stages = [RunningStage.TRAINING, RunningStage.VALIDATING] if stage == "fit" else [trainer.state.stage]
        for name in map(str, stages):
            found = Throughput(self.available_flops, trainer.world_size, **self.kwargs)
            self._throughputs.setdefault(name, _Meter(found)).throughput = (
                found  # each pass has its own clock
            )

    def _start(self, trainer: Trainer) -> None:
        if not trainer.sanity_checking and trainer.is_global_zero:
            stage = str(trainer.state.stage)
            meter = self._throughputs[stage]
            meter.start(anew=trainer.state.fn == "fit" or meter.batches == 0)

    @torch.no_grad()
    def _step(self, trainer: Trainer, module: LightningModule, batch: Any) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        stage = str(trainer.state.stage)
        meter = self._throughputs[stage]
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
        elapsed = time.perf_counter() - meter.begun
        flops = getattr(module, "flops_per_batch", None)
        if flops is None and not self._warned:
            self._warned = True
            warn(
                f"ThroughputMonitor: {type(module).__name__} has no flops_per_batch, so there are no FLOPs; set it in setup."
            )
        meter.batches, meter.total = meter.batches + 1, meter.total + 1
        meter.samples += self.batch_size_fn(batch)
        meter.lengths += self.length_fn(batch) if self.length_fn is not None else 0
        lengths = None if self.length_fn is None else meter.lengths
        meter.throughput.update(
            time=elapsed, batches=meter.batches, samples=meter.samples, lengths=lengths, flops=flops
        )
        # A training step may take several batches: its rate is known after the last of them.
        job, state = trainer.job, trainer.state
        stepped = not trainer.training or job is None or steps_after(job, state, state.batch_idx)
        if trainer.logs_now and stepped:
            found = meter.throughput.compute()
            row = {f"{stage}{meter.throughput.separator}{name}": value for name, value in found.items()}
            trainer.send_metrics(row, step=None if trainer.training else meter.total)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._step(trainer, pl_module, batch)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *where: Any
    ) -> None:
        self._step(trainer, pl_module, batch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or not trainer.is_global_zero:
            return
        training, validation = self._throughputs["train"], self._throughputs["validate"]
        # Training stood still from its last step to the last step of validation.
        resumed = validation.begun + validation.throughput.seconds
        training.begun += resumed - (training.begun + training.throughput.seconds)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *where: Any
    ) -> None:
        self._step(trainer, pl_module, batch)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer)

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *where: Any
    ) -> None:
        self._step(trainer, pl_module, batch)
