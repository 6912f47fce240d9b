"""GradientAccumulationScheduler: another number of batches per optimizer step from some epoch on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litify.callbacks.base import Callback
from litify.errors import MisconfigurationException
from litify.hooks import is_overridden
from litify.rank_zero import warn

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer


class GradientAccumulationScheduler(Callback):
    """Sets `trainer.accumulate_grad_batches` at the start of epochs.

    Args:
        scheduling: epoch (from 0) -> batches per step from then on; 1 before the first of them.

    Raises:
        TypeError: nothing is scheduled.
        MisconfigurationException: an epoch below 0, fewer than 1 batch, or no whole numbers.
    """

    def __init__(self, scheduling: dict[int, int]) -> None:
        if not scheduling:
            raise TypeError(
                "GradientAccumulationScheduler({}): say what to schedule, e.g. {0: 1, 4: 2} for 2 batches from epoch 4 on."
            )
        if any(not isinstance(epoch, int) or epoch < 0 for epoch in scheduling):
            raise MisconfigurationException(
                f"GradientAccumulationScheduler({scheduling}): epochs are whole numbers from 0."
            )
        if any(not isinstance(batches, int) or batches < 1 for batches in scheduling.values()):
            raise MisconfigurationException(
                f"GradientAccumulationScheduler({scheduling}): batches per step are whole numbers from 1."
            )
        self.scheduling = {0: 1, **scheduling}
        self.epochs = sorted(self.scheduling)

    def going_to_accumulate_grad_batches(self) -> bool:
        """Whether any epoch has more than one batch per step."""
        return any(batches > 1 for batches in self.scheduling.values())

    def get_accumulate_grad_batches(self, epoch: int) -> int:
        """Batches per step in this epoch."""
        return self.scheduling[max(start for start in self.epochs if start <= epoch)]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not pl_module.automatic_optimization:
            raise RuntimeError(
                "GradientAccumulationScheduler has no effect under manual optimization: remove it, and count batches in training_step."
            )
        if trainer.accumulate_grad_batches != 1:
            raise ValueError(
                f"Trainer(accumulate_grad_batches={trainer.accumulate_grad_batches}) and GradientAccumulationScheduler both say how "
                "many batches a step has; leave one of them out."
            )
        own = [name for name in ("optimizer_step", "optimizer_zero_grad") if is_overridden(name, pl_module)]
        if own and self.going_to_accumulate_grad_batches():
            warn(f"{type(pl_module).__name__}.{own[0]} runs per optimizer step, not per batch, where batches accumulate.")  # fmt: skip
        self._set(trainer)  # a resumed epoch is not started again

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._set(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.accumulate_grad_batches = 1

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        trainer.accumulate_grad_batches = 1

    def _set(self, trainer: Trainer) -> None:
        trainer.accumulate_grad_batches = self.get_accumulate_grad_batches(trainer.current_epoch)
