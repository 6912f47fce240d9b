"""`trainer.fit_loop`: what other code reads from Lightning's training loop, and sets on it, told from the Trainer. There is no loop object here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from litify.progress import to_loops

if TYPE_CHECKING:
    from litify.trainer import Trainer


def _of_trainer(name: str) -> Any:
    def read(self: FitLoop) -> Any:
        return getattr(self._trainer, name)

    def write(self: FitLoop, value: Any) -> None:
        setattr(self._trainer, name, value)

    return property(read, write, doc=f"`trainer.{name}`; may be set.")


class FitLoop:
    """A view of the Trainer, made anew each time it is asked for."""

    max_epochs, min_epochs = _of_trainer("max_epochs"), _of_trainer("min_epochs")
    max_steps, min_steps = _of_trainer("max_steps"), _of_trainer("min_steps")
    max_batches = _of_trainer("num_training_batches")

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    @property
    def epoch_loop(self) -> FitLoop:
        """The loop over an epoch's batches: the same view."""
        return self

    @property
    def batch_idx(self) -> int:
        """Index of the running batch in its epoch; -1 before the first."""
        return self._trainer.state.batch_idx

    @property
    def total_batch_idx(self) -> int:
        """Index of the running batch over all epochs; -1 before the first."""
        return self._trainer.state.total_batches - 1

    @property
    def global_step(self) -> int:
        return self._trainer.global_step

    @property
    def restarting(self) -> bool:
        """Whether this is an epoch in whose middle training goes on from a checkpoint."""
        job = self._trainer.job
        return job is not None and self._trainer.state.epoch == job.resumed_epoch

    @property
    def epoch_progress(self) -> Any:
        """Epochs: `.current` and `.total`, each with ready, started, processed and completed. Read only."""
        return self._progress("epoch_progress")

    @property
    def batch_progress(self) -> Any:
        """Batches, in this epoch (`.current`) and in all (`.total`). Read only."""
        return self._progress("epoch_loop.batch_progress")

    def _progress(self, key: str) -> Any:
        found = to_loops(self._trainer.state, True)["fit_loop"][key]
        return SimpleNamespace(
            total=SimpleNamespace(**found["total"]), current=SimpleNamespace(**found["current"])
        )

    def setup_data(self) -> None:
        """Make the training loaders now, so that `trainer.num_training_batches` is known."""
        if self._trainer.job is not None:
            self._trainer.job.load()
