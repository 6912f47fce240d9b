"""Tuner: searches a learning rate or a batch size, and trains nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litify.callbacks.base import Callback
from litify.callbacks.batch_size_finder import BatchSizeFinder
from litify.callbacks.lr_finder import LearningRateFinder, LRFinder
from litify.errors import MisconfigurationException

if TYPE_CHECKING:
    from litify.datamodule import LightningDataModule
    from litify.module import LightningModule
    from litify.trainer import Trainer

METHODS = ("fit", "validate", "test", "predict")


class Tuner:
    """Runs `LearningRateFinder` and `BatchSizeFinder` alone.

    Args:
        trainer: the Trainer that will train; weights, optimizers and the place in training are untouched afterwards.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def lr_find(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        method: str = "fit",
        min_lr: float = 1e-8,
        max_lr: float = 1,
        num_training: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
        weights_only: bool | None = None,
    ) -> LRFinder | None:
        """Train a little at ever higher rates. Arguments as of `LearningRateFinder`; data as of `Trainer.fit`.

        Returns:
            What was found, with `suggestion()` and `plot()`; None under fast_dev_run.

        Raises:
            MisconfigurationException: another method than "fit", several optimizers, data for another method, or a strategy that
                makes processes from this one.
            ValueError: the Trainer has a LearningRateFinder already.
        """
        if method != "fit":
            raise MisconfigurationException(f"lr_find(method={method!r}): only 'fit' has a learning rate.")
        self._check(LearningRateFinder, method, train_dataloaders, val_dataloaders, dataloaders)
        finder = LearningRateFinder(
            min_lr, max_lr, num_training, mode, early_stop_threshold, update_attr, attr_name
        )
        self._run(finder, method, model, train_dataloaders, val_dataloaders, datamodule)
        return finder.optimal_lr

    def scale_batch_size(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        method: str = "fit",
        mode: str = "power",
        steps_per_trial: int = 3,
        init_val: int = 2,
        max_trials: int = 25,
        batch_arg_name: str = "batch_size",
        margin: float = 0.05,
        max_val: int = 8192,
    ) -> int | None:
        """Try ever larger batches with `method`. Arguments as of `BatchSizeFinder`.

        Returns:
            The batch size, also set where the module or its data module keep it; None under fast_dev_run.

        Raises:
            MisconfigurationException: data that are for another method, or loaders that cannot be made anew.
            ValueError: an unknown method, several processes, or the Trainer has a BatchSizeFinder already.
        """
        self._check(BatchSizeFinder, method, train_dataloaders, val_dataloaders, dataloaders)
        if self._trainer.world_size > 1:
            raise ValueError(
                f"scale_batch_size runs in one process, not in {self._trainer.world_size}; search with devices=1, then train with the "
                "size found."
            )
        finder = BatchSizeFinder(mode, steps_per_trial, init_val, max_trials, batch_arg_name, margin, max_val)
        self._run(finder, method, model, *self._sources(method, train_dataloaders, val_dataloaders, dataloaders), datamodule)  # fmt: skip
        return finder.optimal_batch_size

    @staticmethod
    def _sources(method: str, train: Any, val: Any, other: Any) -> tuple[Any, ...]:
        return (train, val) if method == "fit" else (other,)

    def _check(self, kind: type[Callback], method: str, train: Any, val: Any, other: Any) -> None:
        if method not in METHODS:
            raise ValueError(f"method={method!r}: pass one of {', '.join(METHODS)}.")
        if method == "fit" and other is not None:
            raise MisconfigurationException(
                "Tuner(method='fit'): pass train_dataloaders= and val_dataloaders= in place of dataloaders=."
            )
        if method != "fit" and (train is not None or val is not None):
            raise MisconfigurationException(
                f"Tuner(method={method!r}): pass dataloaders= in place of train_dataloaders= and val_dataloaders=."
            )
        if any(isinstance(callback, kind) for callback in self._trainer.callbacks):
            raise ValueError(
                f"The Trainer has a {kind.__name__} already; remove it, or call fit in place of the Tuner."
            )

    def _run(self, finder: Any, method: str, model: LightningModule, *sources: Any) -> None:
        trainer = self._trainer
        if trainer.world_size > 1 and trainer.strategy.start_method != "popen":
            raise MisconfigurationException(
                f"What the Tuner finds stays in the processes that {trainer.strategy.start_method} makes: search with devices=1 or "
                f"strategy='ddp', or pass {type(finder).__name__}() as a callback."
            )
        finder._early_exit = True
        trainer.callbacks = [finder, *trainer.callbacks]
        *loaders, datamodule = sources
        try:
            getattr(trainer, method)(model, *loaders, datamodule=datamodule)
        finally:
            trainer.callbacks = [callback for callback in trainer.callbacks if callback is not finder]
