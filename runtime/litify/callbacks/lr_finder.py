"""LearningRateFinder: trains a little at ever higher learning rates, and suggests the one where the loss falls fastest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from litify.attribute import lightning_hasattr, lightning_setattr
from litify.callbacks.base import Callback
from litify.errors import MisconfigurationException, MissingExtra, SearchOver
from litify.rank_zero import say, warn

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer

MODES = ("linear", "exponential")
BETA = 0.98  # how much of the smoothed loss comes from earlier steps


class LRFinder:
    """What a search found.

    Attributes:
        results: {"lr": [...], "loss": [...]}, the rate and the smoothed loss of each step.
    """

    def __init__(self, mode: str, lr_min: float, lr_max: float, num_training: int) -> None:
        self.mode, self.lr_min, self.lr_max, self.num_training = mode, lr_min, lr_max, num_training
        self.results: dict[str, list[float]] = {}
        self._best: int | None = None

    def rate(self, index: int) -> float:
        """The learning rate of step `index`: from lr_min at the first to lr_max at the last."""
        if index == 0:
            return self.lr_min
        share = (index + 1) / self.num_training
        if self.mode == "linear":
            return self.lr_min + share * (self.lr_max - self.lr_min)
        return float(self.lr_min * (self.lr_max / self.lr_min) ** share)

    def suggestion(self, skip_begin: int = 10, skip_end: int = 1) -> float | None:
        """The rate where the loss falls steepest; None, with a warning, where there are too few points to tell.

        Args:
            skip_begin, skip_end: steps at both ends to leave out.
        """
        stop = len(self.results["loss"]) - skip_end
        points = [
            (rate, loss, index)
            for index, (rate, loss) in enumerate(zip(self.results["lr"], self.results["loss"], strict=False))
            if skip_begin <= index < stop and math.isfinite(loss)
        ]
        self._best = None
        if len(points) < 2:
            warn(
                f"No learning rate can be suggested from {len(points)} points: raise num_training, max_epochs, or use more data."
            )
            return None
        rates = torch.tensor([float(rate) for rate, *_ in points])
        losses = torch.tensor([float(loss) for _, loss, _ in points])
        steepest = int(torch.gradient(losses, spacing=(rates,))[0].argmin())
        self._best = points[steepest][2]
        return self.results["lr"][self._best]

    def plot(self, suggest: bool = False, show: bool = False, ax: Any = None) -> Any:
        """Loss over learning rate, as a matplotlib figure.

        Args:
            suggest: mark the suggestion.
            show: open a window.
            ax: axes to draw into; default: a new figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        try:
            import matplotlib.pyplot as plt  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            raise MissingExtra("LRFinder.plot needs matplotlib: pip install matplotlib") from None
        axes = plt.subplots()[1] if ax is None else ax
        axes.plot(self.results["lr"], self.results["loss"])
        if self.mode == "exponential":
            axes.set_xscale("log")
        axes.set_xlabel("Learning rate")
        axes.set_ylabel("Loss")
        if suggest and (rate := self.suggestion()) is not None and self._best is not None:
            axes.plot(rate, self.results["loss"][self._best], marker="o", markersize=10, color="red")
        if show:
            plt.show()
        return axes.figure


class _Sweep(Callback):
    """Sets the rate before each step, and notes the smoothed loss after it."""

    def __init__(self, finder: LRFinder, threshold: float | None) -> None:
        self.finder, self.threshold = finder, threshold
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.average, self.best = 0.0, math.inf

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        rate = self.finder.rate(len(self.rates))
        self.rates.append(rate)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        if not outputs:  # training_step skipped the batch
            self.losses.append(math.nan)
            return
        loss = trainer.strategy.reduce(outputs["loss"].detach().clone())  # that of the global batch
        self.average = BETA * self.average + (1 - BETA) * loss.item()
        smooth = self.average / (1 - BETA ** (len(self.rates) + 1))
        self.losses.append(smooth)
        diverged = self.threshold is not None and len(self.rates) > 1 and smooth > self.threshold * self.best
        trainer.should_stop = bool(trainer.strategy.broadcast(diverged or trainer.should_stop))
        self.best = min(self.best, smooth)


class LearningRateFinder(Callback):
    """Searches a learning rate when fit starts, sets it, and lets fit go on from where it was.

    Args:
        min_lr, max_lr: the range.
        num_training_steps: learning rates to try, a step each.
        mode: "exponential" or "linear": how rates grow.
        early_stop_threshold: give up where the loss is so many times the best one; None: never.
        update_attr: set the module's (or its hparams') attribute, and the optimizer's rate, to the suggestion.
        attr_name: that attribute; default: `lr` or `learning_rate`.
        weights_only: accepted for compatibility; weights are kept in memory, not in a file.

    Attributes:
        optimal_lr: an LRFinder with `results`, `suggestion()` and `plot()`, after the search.

    Raises:
        ValueError: another mode.
        AttributeError: nothing to set the suggestion on.
        MisconfigurationException: several optimizers.
    """

    SUPPORTED_MODES = MODES

    def __init__(
        self,
        min_lr: float = 1e-8,
        max_lr: float = 1,
        num_training_steps: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
        weights_only: bool | None = None,
    ) -> None:
        if mode.lower() not in MODES:
            raise ValueError(f"LearningRateFinder(mode={mode!r}): pass 'exponential' or 'linear'.")
        self._range, self._steps, self._mode = (min_lr, max_lr), num_training_steps, mode.lower()
        self._threshold = early_stop_threshold
        self._update_attr, self._attr_name = update_attr, attr_name
        self._early_exit = False  # the Tuner wants the search alone
        self.optimal_lr: LRFinder | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.lr_find(trainer, pl_module)

    def lr_find(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search now. Also for subclasses that do so at the start of some epochs."""
        if trainer.fast_dev_run:
            warn("Trainer(fast_dev_run=...): the learning rate finder is skipped.")
        else:
            self.optimal_lr = self._search(trainer, pl_module)
        if self._early_exit:
            raise SearchOver

    def _search(self, trainer: Trainer, module: LightningModule) -> LRFinder:
        from litify.trial import aside, try_fit  # builds on callbacks

        name = self._attribute(module) if self._update_attr else ""
        if len(trainer.optimizers) != 1:
            raise MisconfigurationException(
                f"The learning rate finder works with one optimizer; configure_optimizers returned {len(trainer.optimizers)}."
            )
        finder = LRFinder(self._mode, *self._range, self._steps)
        sweep = _Sweep(finder, self._threshold)
        steps = trainer.global_step + self._steps
        with aside(trainer, [sweep], max_steps=steps, limit_val_batches=self._steps, should_stop=False):
            try_fit(trainer, [])  # the sweep sets the rates, no scheduler may
        count = len(sweep.losses)
        finder.results = trainer.strategy.broadcast({"lr": sweep.rates[:count], "loss": sweep.losses})
        rate = finder.suggestion() if self._update_attr else None
        if rate is not None:
            lightning_setattr(module, name, rate)
            _apply(trainer, rate)
            say(f"litify: learning rate {rate:.3g}, found in {count} steps")
        return finder

    def _attribute(self, module: LightningModule) -> str:
        names = [self._attr_name] if self._attr_name else ["lr", "learning_rate"]
        for name in names:
            if lightning_hasattr(module, name):
                return name
        raise AttributeError(
            f"The learning rate finder sets {' or '.join(names)} of {type(module).__name__} or its hparams, and there is none; "
            "set it in __init__, or pass attr_name= or update_attr=False."
        )


def _apply(trainer: Trainer, rate: float) -> None:
    """The rate for the optimizer, and as the base from which its schedulers compute theirs."""
    for group in trainer.optimizers[0].param_groups:
        group["lr"] = rate
        if "initial_lr" in group:
            group["initial_lr"] = rate
    for config in trainer.lr_scheduler_configs:
        if hasattr(config.scheduler, "base_lrs"):
            config.scheduler.base_lrs = [rate] * len(config.scheduler.base_lrs)
