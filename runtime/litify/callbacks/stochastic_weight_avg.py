"""StochasticWeightAveraging: the mean of the weights of the last epochs, at a constant rate."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import SWALR

from litify.callbacks.base import Callback
from litify.errors import MisconfigurationException
from litify.optim import LRSchedulerConfig, NoOptimizer
from litify.rank_zero import say, warn

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer

AverageFunction = Callable[[Tensor, Tensor, Tensor], Tensor]


class StochasticWeightAveraging(Callback):
    """Averages weights at the start of epochs, and has training end with the averages.

    From the first such epoch on, its own schedule takes the place of the module's. Where the model has batch norms, their
    statistics are computed anew in the end, by a pass over the training data. Izmailov et al., arXiv:1803.05407.

    Args:
        swa_lrs: the learning rate to anneal to, or one per parameter group.
        swa_epoch_start: the first epoch (int, from 1), or the share of max_epochs after which it comes (float).
        annealing_epochs, annealing_strategy: how long, and by "cos" or "linear".
        avg_fn: (average, weight, number averaged) -> new average; default: the mean.
        device: where averages are kept; None: with the model.

    Raises:
        MisconfigurationException: arguments out of range, several optimizers or schedulers.
    """

    def __init__(
        self,
        swa_lrs: float | list[float],
        swa_epoch_start: int | float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: str = "cos",
        avg_fn: AverageFunction | None = None,
        device: torch.device | str | None = "cpu",
    ) -> None:
        _check(swa_lrs, swa_epoch_start, avg_fn, device)
        self._swa_lrs, self._swa_epoch_start = swa_lrs, swa_epoch_start
        self._annealing_epochs, self._annealing_strategy = annealing_epochs, annealing_strategy
        self._avg_fn: AverageFunction = avg_fn or self.avg_fn
        self._device = device
        self.n_averaged = 0
        self._latest_update_epoch = -1
        self._scheduler: SWALR | None = None
        self._scheduler_state: dict[str, Any] | None = None  # of a resumed training
        self._average_model: nn.Module | None = None
        self._last_epoch = 0.0

    @staticmethod
    def avg_fn(averaged_model_parameter: Tensor, model_parameter: Tensor, num_averaged: Tensor) -> Tensor:
        """The mean, one weight at a time."""
        return averaged_model_parameter + (model_parameter - averaged_model_parameter) / (num_averaged + 1)

    @property
    def swa_start(self) -> int:
        """The first epoch that counts, from 0."""
        return max(int(self._swa_epoch_start) - 1, 0)

    @property
    def swa_end(self) -> float:
        """The last one."""
        return self._last_epoch

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self._average_model = deepcopy(pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if len(trainer.optimizers) != 1 or len(trainer.lr_scheduler_configs) > 1:
            raise MisconfigurationException(
                f"StochasticWeightAveraging works with one optimizer and at most one scheduler; there are {len(trainer.optimizers)} and "
                f"{len(trainer.lr_scheduler_configs)}."
            )
        if isinstance(self._swa_epoch_start, float):
            if trainer.max_epochs == -1:
                raise MisconfigurationException(
                    f"StochasticWeightAveraging(swa_epoch_start={self._swa_epoch_start}) is a share of max_epochs, which has no end; "
                    "pass an epoch (int)."
                )
            self._swa_epoch_start = int(trainer.max_epochs * self._swa_epoch_start)
        self._last_epoch = float("inf") if trainer.max_epochs == -1 else trainer.max_epochs - 1
        if self._scheduler_state is not None:
            trainer.lr_scheduler_configs.clear()  # the checkpoint has the state of ours, not of the module's

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._scheduler_state is not None and self._scheduler is None:
            self._begin(trainer, pl_module)  # a resumed epoch is not started again

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch
        if not self.swa_start <= epoch <= self.swa_end:
            return
        if self._scheduler is None:
            self._begin(trainer, pl_module)
        if epoch > self._latest_update_epoch:
            self._update(pl_module)
            self._latest_update_epoch = epoch

    def _begin(self, trainer: Trainer, module: LightningModule) -> None:
        assert self._average_model is not None
        self._average_model.to(self._device or module.device)
        optimizer = trainer.optimizers[0]
        rates = self._swa_lrs
        rates = rates if isinstance(rates, list) else [rates] * len(optimizer.param_groups)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["initial_lr"] = rate
        last = trainer.max_epochs if self._annealing_strategy == "cos" else -1
        self._scheduler = SWALR(
            optimizer, rates, self._annealing_epochs, self._annealing_strategy, last_epoch=last  # type: ignore[arg-type]
        )
        if self._scheduler_state is not None:
            self._scheduler.load_state_dict(self._scheduler_state)
        configs = trainer.lr_scheduler_configs
        if configs:
            if configs[0].interval != "epoch" or configs[0].frequency != 1:
                warn("StochasticWeightAveraging steps its schedule once an epoch, in place of the module's.")
            say(
                f"litify: {type(configs[0].scheduler).__name__} gives way to the schedule of weight averaging"
            )
        # Anew, as a scheduler wraps `optimizer.step` to see that it is called.
        assert trainer.job is not None
        trainer.job.take_optimizers(trainer.optimizers, [LRSchedulerConfig(self._scheduler)])

    @torch.no_grad()
    def _update(self, module: LightningModule) -> None:
        assert self._average_model is not None
        for average, weight in zip(self._average_model.parameters(), module.parameters(), strict=True):
            new = weight.detach().to(average.device)
            number = torch.tensor(self.n_averaged, device=average.device)
            average.copy_(self._avg_fn(average, new, number) if self.n_averaged else new)
        self.n_averaged += 1

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        endless = trainer.max_epochs == -1
        if self._scheduler is None or not (endless or trainer.current_epoch - 1 == self.swa_end):
            return
        assert self._average_model is not None
        with torch.no_grad():
            for average, weight in zip(self._average_model.parameters(), pl_module.parameters(), strict=True):
                weight.copy_(average.to(weight.device))
        norms = [module for module in pl_module.modules() if isinstance(module, _BatchNorm)]
        if norms:
            _new_statistics(trainer, norms)

    def state_dict(self) -> dict[str, Any]:
        return {
            "n_averaged": self.n_averaged,
            "latest_update_epoch": self._latest_update_epoch,
            "scheduler_state": None if self._scheduler is None else self._scheduler.state_dict(),
            "average_model_state": None if self._average_model is None else self._average_model.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.n_averaged = state_dict["n_averaged"]
        self._latest_update_epoch = state_dict["latest_update_epoch"]
        self._scheduler_state = state_dict["scheduler_state"]
        if self._average_model is not None and state_dict["average_model_state"] is not None:
            self._average_model.load_state_dict(state_dict["average_model_state"])


def _check(rates: Any, start: Any, average: Any, device: Any) -> None:
    if (isinstance(start, int) and start < 1) or (isinstance(start, float) and not 0 <= start <= 1):
        raise MisconfigurationException(
            f"StochasticWeightAveraging(swa_epoch_start={start}): pass an epoch from 1 (int) or a share from 0.0 to 1.0 (float)."
        )
    listed = rates if isinstance(rates, list) else [rates]
    if not all(isinstance(rate, float) and rate > 0 for rate in listed):
        raise MisconfigurationException(
            f"StochasticWeightAveraging(swa_lrs={rates!r}): pass a learning rate above 0 (float), or a list of them."
        )
    if average is not None and not callable(average):
        raise MisconfigurationException(f"StochasticWeightAveraging(avg_fn={average!r}): pass a function.")
    if device is not None and not isinstance(device, (torch.device, str)):
        raise MisconfigurationException(
            f"StochasticWeightAveraging(device={device!r}): pass a torch.device or its name."
        )


def _new_statistics(trainer: Trainer, norms: list[_BatchNorm]) -> None:
    """Batch norm statistics of the averaged weights: a pass over the training data in which nothing is learnt."""
    from litify.trial import aside, try_fit  # builds on callbacks

    momenta = [norm.momentum for norm in norms]
    more = trainer.state.epochs_processed + 1
    with aside(trainer, max_epochs=more, max_steps=-1, limit_val_batches=0, should_stop=False):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all batches
        try_fit(trainer, [], [NoOptimizer()])
        kept = [[buffer.clone() for buffer in norm.buffers()] for norm in norms]
    for norm, momentum, buffers in zip(norms, momenta, kept, strict=True):
        norm.momentum = momentum
        for buffer, value in zip(norm.buffers(), buffers, strict=True):
            buffer.copy_(value)
