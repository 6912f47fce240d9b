"""What a Trainer can be asked: where it stands, on which devices, its loaders and metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from litify.callbacks.base import Callback
from litify.loops import FitLoop
from litify.metrics import Metrics, Results, scalars, tensors
from litify.state import RunningStage, State, TrainerStatus

if TYPE_CHECKING:
    import torch
    from torch.optim import Optimizer

    from litify.accelerators.base import Accelerator
    from litify.compiling import Compiler
    from litify.datamodule import LightningDataModule
    from litify.job import EvalJob, FitJob
    from litify.module import LightningModule
    from litify.optim import LRSchedulerConfig
    from litify.precision.base import Precision
    from litify.profilers.base import Profiler
    from litify.strategies.base import Strategy


class Status:
    """The Trainer's public attributes and properties, and what the loops ask of it."""

    state: State
    strategy: Strategy
    loggers: list[Any]
    callbacks: list[Callback]
    default_root_dir: str
    max_epochs: int
    min_epochs: int
    max_steps: int
    min_steps: int | None
    fast_dev_run: int | bool
    num_nodes: int
    limit_train_batches: int | float
    limit_val_batches: int | float
    limit_test_batches: int | float
    limit_predict_batches: int | float
    overfit_batches: int | float
    val_check_interval: int | float
    val_check_seconds: float | None
    check_val_every_n_epoch: int | None
    num_sanity_val_steps: float
    log_every_n_steps: int
    last_val_time: float
    accumulate_grad_batches: int
    gradient_clip_val: float | None
    gradient_clip_algorithm: str | None
    inference_mode: bool
    use_distributed_sampler: bool
    detect_anomaly: bool
    sync_batchnorm: bool
    reload_dataloaders_every_n_epochs: int
    enable_autolog_hparams: bool
    enable_model_summary: bool
    profiler: Profiler

    def __init__(self) -> None:
        self.module: LightningModule | None = None
        self.datamodule: LightningDataModule | None = None
        self.sources: dict[str, Any] = {}
        self.hooks: Any = None
        self.job: FitJob | None = None
        self.eval_job: EvalJob | None = None
        self.results: Results | None = None
        self.loggable: list[LightningModule] = []  # the module and its children that are LightningModules
        self.barebones = False
        self.ckpt_path: str | None = None
        """The checkpoint that the latest call started from, or None."""
        self.resumed_from: str | None = None
        self.should_stop = False
        self.received_sigterm = False
        """Whether the process was told to end, by SIGTERM, during fit."""
        self.interrupt_asked: Callable[[], None] | None = None
        """What is to happen after the running batch, at a signal's wish."""
        self.stop_reason = ""
        self.compiler: Compiler | None = None
        self.has_timer = False
        self.num_training_batches: float = math.inf
        self._callback_metrics: Metrics = {}
        self._logged_metrics: Metrics = {}
        self._bar_metrics: Metrics = {}

    # -- where it stands -----------------------------------------------------------------------------------------------------

    @property
    def current_epoch(self) -> int:
        """Epochs finished."""
        return self.state.epoch

    @property
    def global_step(self) -> int:
        """Optimizer steps so far, of all optimizers."""
        return self.state.optimizer_steps

    @property
    def is_running(self) -> bool:
        return self.state.status is TrainerStatus.RUNNING

    @property
    def interrupted(self) -> bool:
        return self.state.status is TrainerStatus.INTERRUPTED

    def enter(self, stage: RunningStage, results: Results | None) -> None:
        """Say what runs now, and which results `self.log` goes to."""
        self.state.stage = stage
        self.results = results
        for module in self.loggable:
            object.__setattr__(module, "_results", None if self.barebones else results)

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to a call that runs, or ran."""
        return {
            **vars(self),
            **dict.fromkeys(("hooks", "job", "eval_job", "results", "interrupt_asked")),
            "loggable": [],
        }

    def forget_jobs(self) -> None:
        """Let go of what an earlier call needed."""
        self.hooks = self.job = self.eval_job = self.results = None

    def leave(self) -> None:
        """Nothing runs any more."""
        self.metrics_to_cpu()
        for module in self.loggable:
            object.__setattr__(module, "_results", None)
        self.loggable = []
        for callback in self.callbacks:
            for name in ("log", "log_dict"):
                if getattr(vars(callback).get(name), "__self__", None) is self.module:
                    del vars(callback)[name]
        self.results = None
        self.state.stage = None
        for job in (self.job, self.eval_job, self.job.validation if self.job is not None else None):
            if job is not None and job.loaders is not None:
                job.loaders.release()

    @property
    def training(self) -> bool:
        return self.state.stage is RunningStage.TRAINING

    @property
    def validating(self) -> bool:
        return self.state.stage is RunningStage.VALIDATING

    @property
    def testing(self) -> bool:
        return self.state.stage is RunningStage.TESTING

    @property
    def predicting(self) -> bool:
        return self.state.stage is RunningStage.PREDICTING

    @property
    def sanity_checking(self) -> bool:
        return self.state.stage is RunningStage.SANITY_CHECKING

    @property
    def evaluating(self) -> bool:
        return self.state.stage is not None and self.state.stage.evaluating

    @property
    def is_last_batch(self) -> bool:
        return self.state.is_last_batch

    # -- the place it runs at ------------------------------------------------------------------------------------------------

    @property
    def accelerator(self) -> Accelerator:
        return self.strategy.accelerator

    @property
    def precision_plugin(self) -> Precision:
        return self.strategy.precision

    @property
    def precision(self) -> str:
        return self.strategy.precision.precision

    @property
    def world_size(self) -> int:
        return self.strategy.world_size

    @property
    def global_rank(self) -> int:
        return self.strategy.global_rank

    @property
    def local_rank(self) -> int:
        return self.strategy.local_rank

    @property
    def node_rank(self) -> int:
        return self.strategy.node_rank

    @property
    def is_global_zero(self) -> bool:
        return self.strategy.is_global_zero

    @property
    def num_devices(self) -> int:
        return len(self.strategy.devices)

    @property
    def device_ids(self) -> list[int]:
        return [device.index or index for index, device in enumerate(self.strategy.devices)]

    @property
    def distributed_sampler_kwargs(self) -> dict[str, int] | None:
        return {"num_replicas": self.world_size, "rank": self.global_rank} if self.world_size > 1 else None

    def print(self, *args: Any, **kwargs: Any) -> None:
        """`print` from rank 0."""
        if self.is_global_zero:
            print(*args, **kwargs)

    # -- module, optimizers, loaders -------------------------------------------------------------------------------------------

    @property
    def lightning_module(self) -> LightningModule | None:
        return self.module

    @property
    def model(self) -> torch.nn.Module | None:
        return self.module

    @property
    def optimizers(self) -> list[Optimizer]:
        return self.job.optimizers if self.job is not None else []

    @property
    def lightning_optimizers(self) -> list[Any]:
        return self.job.wrapped if self.job is not None else []

    @property
    def lr_scheduler_configs(self) -> list[LRSchedulerConfig]:
        return self.job.configs if self.job is not None else []

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backward for `LightningModule.manual_backward`."""
        from litify.fit import backward  # fit builds on this module

        assert self.job is not None and self.job.results is not None
        outer = self.job.results.hook
        backward(self.job, loss, *args, **kwargs)
        self.job.results.hook = outer

    @property
    def fit_loop(self) -> FitLoop:
        """What Lightning's training loop tells."""
        return FitLoop(self)  # type: ignore[arg-type]

    @property
    def train_dataloader(self) -> Any:
        """What training iterates: the loader(s) given, samplers in place."""
        return _given(self.job.loaders) if self.job is not None else None

    @property
    def val_dataloaders(self) -> Any:
        return self._eval_source("validation")

    @property
    def test_dataloaders(self) -> Any:
        return self._eval_source("test")

    @property
    def predict_dataloaders(self) -> Any:
        return self._eval_source("predict")

    def _eval_source(self, kind: str) -> Any:
        job = self._eval(kind)
        return _given(job.loaders) if job is not None else None

    def _eval(self, kind: str) -> EvalJob | None:
        candidates = [self.eval_job, self.job.validation if self.job is not None else None]
        return next((job for job in candidates if job is not None and job.kind == kind), None)

    def _limits(self, kind: str) -> list[Any]:
        job = self._eval(kind)
        return list(job.loaders.limits) if job is not None and job.loaders is not None else []

    @property
    def num_val_batches(self) -> list[Any]:
        """Validation batches per loader."""
        return self._limits("validation")

    @property
    def num_test_batches(self) -> list[Any]:
        return self._limits("test")

    @property
    def num_predict_batches(self) -> list[Any]:
        return self._limits("predict")

    @property
    def num_sanity_val_batches(self) -> list[Any]:
        batches = self.num_val_batches if self.state.fn == "fit" else []
        return [min(self.num_sanity_val_steps, number) for number in batches]

    @property
    def enable_validation(self) -> bool:
        """Whether fit validates."""
        return self.job is not None and self.job.validation is not None

    @property
    def estimated_stepping_batches(self) -> float:
        """Optimizer steps of the whole training: max_steps, or what the loader's length and max_epochs make.

        The loaders are made now, if they are not there yet.
        """
        if self.max_epochs == -1:
            return math.inf if self.max_steps == -1 else self.max_steps
        assert self.job is not None
        self.job.load()
        if self.num_training_batches == math.inf:
            return math.inf if self.max_steps == -1 else self.max_steps
        steps = math.ceil(self.num_training_batches / self.accumulate_grad_batches) * self.max_epochs
        return steps if self.max_steps == -1 else min(steps, self.max_steps)

    # -- metrics -----------------------------------------------------------------------------------------------------------------

    def publish(self, results: Results) -> Metrics:
        """Keep what `results` holds now for whoever reads metrics later. Returns what goes to the loggers."""
        callback, logged, bar = results.collect()
        self._callback_metrics.update(callback)
        self._logged_metrics.update(logged)
        self._bar_metrics.update(bar)
        return logged

    @property
    def callback_metrics(self) -> dict[str, Any]:
        """Everything logged, by name, as tensors: what monitors watch."""
        if self.results is not None:
            self.publish(self.results)
        return tensors(self._callback_metrics)

    @property
    def logged_metrics(self) -> dict[str, Any]:
        """What went, or goes, to the loggers, as tensors."""
        if self.results is not None:
            self.publish(self.results)
        return tensors(self._logged_metrics)

    @property
    def progress_bar_metrics(self) -> dict[str, float]:
        """What the progress bar shows, as numbers. Reading waits for the device."""
        if self.results is not None:
            self.publish(self.results)
        return scalars(self._bar_metrics)

    def send_metrics(self, metrics: Metrics, step: int | None = None, behind: int = 0) -> None:
        """A row for the loggers.

        Args:
            step: the x axis, for rows of evaluation batches; None: the training's, or the metric named "step", and the epoch in
                the row.
            behind: how many steps before the training's.
        """
        if not metrics:
            return
        self._logged_metrics.update(metrics)
        if not self.loggers:
            return
        row: dict[str, Any] = scalars(metrics)
        if step is None and "step" in row:
            step = int(row.pop("step"))
        elif step is None:
            row.setdefault("epoch", self.state.epoch)
            step = max(0, self.state.batches_stepped - behind)
        for logger in self.loggers:
            logger.log_metrics(metrics=row, step=step)

    @property
    def logs_now(self) -> bool:
        """Whether loggers get a row of this step or, outside of training, of this batch of the pass."""
        done = self.state.batches_stepped if self.training else self.state.val_batch_idx
        every = self.log_every_n_steps
        return bool(every) and ((done + 1) % every == 0 or self.should_stop)

    def forget_metrics(self) -> None:
        self._callback_metrics, self._logged_metrics, self._bar_metrics = {}, {}, {}

    def take_metrics(self, metrics: Metrics) -> None:
        """Metrics that a checkpoint kept, for monitors that look before anything new is logged."""
        self._callback_metrics.update(metrics)

    def metrics_to_cpu(self) -> None:
        for kept in (self._callback_metrics, self._logged_metrics, self._bar_metrics):
            kept.update({name: value.cpu() for name, value in kept.items() if isinstance(value, Tensor)})


def _given(loaders: Any) -> Any:
    if loaders is None:
        return None
    if loaders.combined is None:
        return loaders.flat[0]
    return loaders.combined.iterables
