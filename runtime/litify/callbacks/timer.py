"""Timer: training, validation and test times; training ends when its time is up."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from litify.callbacks.base import Callback
from litify.errors import MisconfigurationException
from litify.rank_zero import say
from litify.settings import duration as parse

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer


class Timer(Callback):
    """Measures time, and stops training after `duration`.

    Args:
        duration: "DD:HH:MM:SS", a timedelta, its keyword arguments, or None to only measure.
        interval: when to look: after each "step" or "epoch".
        verbose: say when time is up.

    Raises:
        MisconfigurationException: another interval, or a duration that is none.
    """

    def __init__(
        self,
        duration: str | timedelta | dict[str, int] | None = None,
        interval: str = "step",
        verbose: bool = True,
    ) -> None:
        if interval not in ("step", "epoch"):
            raise MisconfigurationException(f"Timer(interval={interval!r}): pass 'step' or 'epoch'.")
        span = parse(duration, "max_time")
        self._duration = None if span is None else span.total_seconds()
        self._interval, self._verbose = interval, verbose
        self._begun: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._offset = 0.0

    def start_time(self, stage: str = "train") -> float | None:
        """When the stage began, by time.monotonic; None before."""
        return self._begun.get(str(stage))

    def end_time(self, stage: str = "train") -> float | None:
        """When the stage ended; None before."""
        return self._ended.get(str(stage))

    def time_elapsed(self, stage: str = "train") -> float:
        """Seconds spent in "train", "validate" or "test"; for training, resumed runs included."""
        begun = self.start_time(stage)
        offset = self._offset if str(stage) == "train" else 0.0
        if begun is None:
            return offset
        return (self.end_time(stage) or time.monotonic()) - begun + offset

    def time_remaining(self, stage: str = "train") -> float | None:
        """Seconds left; None without a duration."""
        return None if self._duration is None else self._duration - self.time_elapsed(stage)

    def _begin(self, stage: str) -> None:
        self._begun[stage] = time.monotonic()
        self._ended.pop(stage, None)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A resumed training may have used up its time already.
        if self._duration is not None and self._offset >= self._duration:
            self._look(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin("train")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ended["train"] = time.monotonic()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin("validate")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ended["validate"] = time.monotonic()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin("test")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ended["test"] = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._interval == "step" and self._duration is not None:
            self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._interval == "epoch" and self._duration is not None:
            self._look(trainer)

    def _look(self, trainer: Trainer) -> None:
        assert self._duration is not None
        up = bool(trainer.strategy.broadcast(self.time_elapsed() >= self._duration))
        if up and self._verbose and not trainer.should_stop:
            say(f"litify: time is up after {timedelta(seconds=int(self.time_elapsed()))}")
        trainer.should_stop = trainer.should_stop or up

    def state_dict(self) -> dict[str, Any]:
        stages = ("train", "validate", "test", "sanity_check", "predict")
        return {"time_elapsed": {stage: self.time_elapsed(stage) for stage in stages}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._offset = state_dict.get("time_elapsed", {}).get("train", 0.0)
