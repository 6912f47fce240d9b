"""EarlyStopping: stop when a metric no longer gets better."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from litify.callbacks.base import Callback
from litify.errors import MisconfigurationException
from litify.rank_zero import say, warn

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer


class EarlyStoppingReason(Enum):
    """Why training was stopped."""

    NOT_STOPPED = 0
    STOPPING_THRESHOLD = 1
    DIVERGENCE_THRESHOLD = 2
    PATIENCE_EXHAUSTED = 3
    NON_FINITE_METRIC = 4


class EarlyStopping(Callback):
    """Stops training when a metric has not improved for `patience` checks.

    Args:
        monitor: the metric.
        min_delta: how much better counts as better.
        patience: checks without improvement after which training stops.
        verbose: say when the metric improves.
        mode: "min" or "max": which values are better.
        strict: a missing metric is an error; False: a warning.
        check_finite: stop at NaN and infinity.
        stopping_threshold: stop when the metric is this good.
        divergence_threshold: stop when the metric is this bad.
        check_on_train_epoch_end: check after training epochs, not after validation; default: by how validation is scheduled.
        log_rank_zero_only: accepted for compatibility; only rank 0 says anything.

    Raises:
        MisconfigurationException: `mode` is neither "min" nor "max".
    """

    monitors: ClassVar[bool] = True
    mode_dict: ClassVar[dict[str, Callable[..., Tensor]]] = {"min": torch.lt, "max": torch.gt}

    def __init__(
        self,
        monitor: str,
        min_delta: float = 0.0,
        patience: int = 3,
        verbose: bool = False,
        mode: str = "min",
        strict: bool = True,
        check_finite: bool = True,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_on_train_epoch_end: bool | None = None,
        log_rank_zero_only: bool = False,
    ) -> None:
        if mode not in self.mode_dict:
            raise MisconfigurationException(f"EarlyStopping(mode={mode!r}): pass 'min' or 'max'.")
        self.monitor, self.patience, self.verbose, self.mode = monitor, patience, verbose, mode
        self.min_delta = min_delta if mode == "max" else -min_delta
        self.strict, self.check_finite = strict, check_finite
        self.stopping_threshold, self.divergence_threshold = stopping_threshold, divergence_threshold
        self._check_on_train_epoch_end = check_on_train_epoch_end
        self.log_rank_zero_only = log_rank_zero_only
        self.wait_count = 0
        self.stopped_epoch = 0
        self.stopping_reason = EarlyStoppingReason.NOT_STOPPED
        self.stopping_reason_message: str | None = None
        self.best_score = torch.tensor(math.inf if mode == "min" else -math.inf)

    @property
    def state_key(self) -> str:
        return self._generate_state_key(monitor=self.monitor, mode=self.mode)

    @property
    def monitor_op(self) -> Callable[..., Tensor]:
        return self.mode_dict[self.mode]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._check_on_train_epoch_end is None:
            # Where validation runs once per epoch, its metrics are there at the end of the epoch.
            self._check_on_train_epoch_end = (
                trainer.val_check_interval == 1.0 and trainer.check_val_every_n_epoch == 1
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._check_on_train_epoch_end and not self._skips(trainer):
            self._check(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._check_on_train_epoch_end and not self._skips(trainer):
            self._check(trainer)

    @staticmethod
    def _skips(trainer: Trainer) -> bool:
        return trainer.state.fn != "fit" or trainer.sanity_checking

    def _check(self, trainer: Trainer) -> None:
        metrics = trainer.callback_metrics
        if trainer.fast_dev_run:
            return
        current = metrics.get(self.monitor)
        if current is None:
            message = (
                f"EarlyStopping(monitor={self.monitor!r}): no such metric was logged; logged are {sorted(metrics)}. Call "
                f"self.log({self.monitor!r}, ...) or monitor another."
            )
            if self.strict:
                raise RuntimeError(message)
            warn(message, RuntimeWarning)
            return
        stop, reason = self._evaluate_stopping_criteria(current.squeeze())
        stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        trainer.should_stop = trainer.should_stop or stop
        if stop:
            self.stopped_epoch = trainer.current_epoch
            self.stopping_reason_message = reason
        if reason and (self.verbose or stop):
            say(f"litify: {reason}")

    def _evaluate_stopping_criteria(self, current: Tensor) -> tuple[bool, str | None]:
        """Whether to stop at this value, and why; counts checks without improvement."""
        value = float(current)
        if self.check_finite and not math.isfinite(value):
            self.stopping_reason = EarlyStoppingReason.NON_FINITE_METRIC
            return (
                True,
                f"{self.monitor} is not finite but {value}: stopping (best was {float(self.best_score):.3f})",
            )
        if self.stopping_threshold is not None and self.monitor_op(current, self.stopping_threshold):
            self.stopping_reason = EarlyStoppingReason.STOPPING_THRESHOLD
            return (
                True,
                f"Stopping threshold reached: {self.monitor} is {value:.3f}, stopping_threshold={self.stopping_threshold}",
            )
        if self.divergence_threshold is not None and self.monitor_op(-current, -self.divergence_threshold):
            self.stopping_reason = EarlyStoppingReason.DIVERGENCE_THRESHOLD
            return (
                True,
                f"Divergence threshold reached: {self.monitor} is {value:.3f}, divergence_threshold={self.divergence_threshold}",
            )
        best = self.best_score.to(current.device)
        if self.monitor_op(current - self.min_delta, best):
            text = (
                f"{self.monitor} improved from {float(best):.3f} to {value:.3f}"
                if torch.isfinite(best)
                else f"{self.monitor} is {value:.3f}"
            )
            self.best_score, self.wait_count = current, 0
            return False, text
        self.wait_count += 1
        if self.wait_count >= self.patience:
            self.stopping_reason = EarlyStoppingReason.PATIENCE_EXHAUSTED
            return (
                True,
                f"{self.monitor} did not improve in {self.wait_count} checks (best {float(best):.3f}): stopping",
            )
        return False, None

    def state_dict(self) -> dict[str, Any]:
        names = ("wait_count", "stopped_epoch", "best_score", "patience", "stopping_reason_message")
        return {
            **{name: getattr(self, name) for name in names},
            "stopping_reason": self.stopping_reason.value,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, EarlyStoppingReason(value) if name == "stopping_reason" else value)
