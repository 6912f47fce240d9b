"""BasePredictionWriter: predictions to files, while they are made or in the end."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader

from litify.callbacks.base import Callback
from litify.errors import MisconfigurationException
from litify.hooks import fetches

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer

INTERVALS = ("batch", "epoch", "batch_and_epoch")


class BasePredictionWriter(Callback):
    """Override `write_on_batch_end`, `write_on_epoch_end`, or both.

    With several processes each writes its own part: put `trainer.global_rank` into file names.

    Args:
        write_interval: "batch", "epoch" or "batch_and_epoch": which of them are called.

    Raises:
        MisconfigurationException: another interval.
    """

    def __init__(self, write_interval: str = "batch") -> None:
        if str(write_interval) not in INTERVALS:
            raise MisconfigurationException(
                f"BasePredictionWriter(write_interval={write_interval!r}): pass one of {', '.join(map(repr, INTERVALS))}."
            )
        self.interval = str(write_interval)
        self._predictions: list[list[Any]] = []
        self._indices: list[list[Any]] = []
        self._drawn: list[_Drawn | None] = []

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the prediction for a batch.

        Args:
            batch_indices: where the batch's samples stand in the data set; None where the loader has no batch sampler.
        """
        raise NotImplementedError

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        """Write all predictions: a list per batch, or, with several loaders, a list of those per loader.

        Args:
            batch_indices: a list per loader of the indices of each batch.
        """
        raise NotImplementedError

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if fetches(pl_module.predict_step):
            raise NotImplementedError(
                "BasePredictionWriter cannot tell which batches predict_step takes from dataloader_iter; take batch and batch_idx."
            )

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        job = trainer.eval_job
        assert job is not None and job.loaders is not None
        loaders = [_watched(loader) for loader in job.loaders.flat]
        self._drawn = [drawn for _, drawn in loaders]
        self._predictions, self._indices = [[] for _ in loaders], [[] for _ in loaders]
        job.loaders = copy.copy(job.loaders)  # has the prediction begin with these
        job.loaders.flat = [loader for loader, _ in loaders]

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        drawn = self._drawn[dataloader_idx]
        indices = None if drawn is None else drawn.batches.pop(0)
        if self.interval != "epoch":
            self.write_on_batch_end(trainer, pl_module, outputs, indices, batch, batch_idx, dataloader_idx)
        if self.interval != "batch":
            self._predictions[dataloader_idx].append(outputs)
            self._indices[dataloader_idx].append(indices)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.interval != "batch":
            several = len(self._predictions) > 1
            predictions: list[Any] = self._predictions if several else self._predictions[0]
            self.write_on_epoch_end(trainer, pl_module, predictions, self._indices)
        self._predictions, self._indices, self._drawn = [], [], []


class _Drawn:
    """A batch sampler that notes the indices it gives."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.batches: list[list[int]] = []

    def __iter__(self) -> Iterator[Any]:
        self.batches = []
        for batch in self.sampler:
            self.batches.append(list(batch))
            yield batch

    def __len__(self) -> int:
        return len(self.sampler)

    def __getattr__(self, name: str) -> Any:
        if name == "sampler":  # while it is being copied or unpickled
            raise AttributeError(name)
        return getattr(self.sampler, name)


def _watched(loader: Any) -> tuple[Any, _Drawn | None]:
    """A copy of a DataLoader whose batch sampler notes the indices; other loaders as they are."""
    if not isinstance(loader, DataLoader) or loader.batch_sampler is None:
        return loader, None
    drawn = _Drawn(loader.batch_sampler)
    watched = copy.copy(loader)
    vars(watched)[
        "batch_sampler"
    ] = drawn  # DataLoader guards this attribute, to keep it and batch_size together
    return watched, drawn
