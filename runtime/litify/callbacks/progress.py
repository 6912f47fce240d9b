"""Progress bars that move."""

from __future__ import annotations

import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from litify.callbacks.base import Callback
from litify.due import validates_in

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer

INTERVAL = 0.1  # seconds between two drawings of a bar: what eyes follow, and what costs nothing


class ProgressBar(Callback):
    """Base of progress bars: what they show, and whether they do.

    Override `get_metrics` for other metrics, or hooks for another bar.
    """

    def __init__(self) -> None:
        self._trainer: Trainer | None = None
        self._enabled = True

    @property
    def trainer(self) -> Trainer:
        if self._trainer is None:
            raise TypeError(f"{type(self).__name__} is not attached to a Trainer yet; read it in a hook.")
        return self._trainer

    @property
    def is_enabled(self) -> bool:
        return self._enabled

    @property
    def is_disabled(self) -> bool:
        return not self._enabled

    def enable(self) -> None:
        """Show the bar again."""
        self._enabled = True

    def disable(self) -> None:
        """Show nothing; the Trainer does this on ranks other than 0."""
        self._enabled = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._trainer = trainer
        if not trainer.is_global_zero:
            self.disable()

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What stands beside the bar: the run's version and the metrics logged with prog_bar=True."""
        version = getattr(trainer.logger, "version", None) if trainer.loggers else None
        metrics: dict[str, Any] = {} if version in (None, "") else {"v_num": version}
        return {**metrics, **trainer.progress_bar_metrics}

    def print(self, *args: Any, **kwargs: Any) -> None:
        """`print` that does not tear the bar."""
        print(*args, **kwargs)

    @property
    def total_train_batches(self) -> float:
        """Batches of this epoch; of a loader without a length, as many as `max_steps` leaves."""
        trainer = self.trainer
        if math.isinf(trainer.num_training_batches) and trainer.max_steps != -1:
            return (trainer.max_steps - trainer.global_step) * trainer.accumulate_grad_batches
        return trainer.num_training_batches

    @property
    def total_val_batches(self) -> float:
        """Validation batches of this epoch; 0 in one without validation."""
        trainer = self.trainer
        if trainer.job is not None and not validates_in(trainer.job, trainer.current_epoch):
            return 0
        total: float = sum(trainer.num_val_batches)
        return total


class Bars(ProgressBar):
    """When bars of evaluation come and go; a subclass draws them, by `open_bar`, `advance_bar` and `close_bar`."""

    KINDS: ClassVar[dict[str, tuple[str, str]]] = {
        "sanity": ("Sanity Checking", "num_sanity_val_batches"),
        "validation": ("Validation", "num_val_batches"),
        "test": ("Testing", "num_test_batches"),
        "predict": ("Predicting", "num_predict_batches"),
    }
    """The title of each kind's bar, and the Trainer's attribute that says how many batches each loader has."""

    def open_bar(self, trainer: Trainer, kind: str, title: str, totals: list[Any]) -> None:
        """A pass over data begins.

        Args:
            kind: "sanity", "validation", "test" or "predict".
            totals: batches of each loader.
        """
        raise NotImplementedError

    def advance_bar(self, batch_idx: int, loader_idx: int) -> None:
        """A batch of the pass is done."""
        raise NotImplementedError

    def close_bar(self, trainer: Trainer, module: LightningModule) -> None:
        """The pass is over."""
        raise NotImplementedError

    def _open(self, trainer: Trainer, kind: str) -> None:
        title, totals = self.KINDS[kind]
        self.open_bar(trainer, kind, title, getattr(trainer, totals))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open(trainer, "sanity" if trainer.sanity_checking else "validation")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open(trainer, "test")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open(trainer, "predict")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.advance_bar(batch_idx, dataloader_idx)

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.close_bar(trainer, pl_module)

    on_test_end = on_predict_end = on_validation_end


class TQDMProgressBar(Bars):
    """A tqdm bar for the epoch and one for each validation, on stderr. The default in a terminal (see `EpochLines`).

    Args:
        refresh_rate: batches between two drawings; 0 shows nothing. Drawing is limited to ten times a second besides.
        process_position: lines to leave free above.
        leave: whether finished bars of epochs stay.

    Raises:
        ValueError: a negative refresh rate.
    """

    def __init__(self, refresh_rate: int = 1, process_position: int = 0, leave: bool = False) -> None:
        super().__init__()
        if "COLAB_GPU" in os.environ and refresh_rate == 1:
            refresh_rate = 20  # Colab's output is slow
        refresh_rate = max(refresh_rate, int(os.environ.get("TQDM_MINITERS", "0")))
        if refresh_rate < 0:
            raise ValueError(f"TQDMProgressBar(refresh_rate={refresh_rate}): pass 0 for no bar, or more.")
        self._refresh_rate, self._process_position, self._leave = refresh_rate, process_position, leave
        self._train_bar: Any = None
        self._val_bar: Any = None
        self._next = 0.0

    @property
    def refresh_rate(self) -> int:
        return self._refresh_rate

    @property
    def process_position(self) -> int:
        return self._process_position

    @property
    def is_enabled(self) -> bool:
        return self._enabled and self._refresh_rate > 0

    @property
    def is_disabled(self) -> bool:
        return not self.is_enabled

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_train_bar": None, "_val_bar": None}  # bars hold the terminal

    @property
    def train_progress_bar(self) -> Any:
        return self._train_bar

    @property
    def val_progress_bar(self) -> Any:
        return self._val_bar

    test_progress_bar = predict_progress_bar = val_progress_bar

    # -- training -----------------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._next = 0.0
        if not _is_open(self._train_bar) or self._leave:
            self._train_bar = self.init_train_tqdm()
        self._train_bar.reset(_total(self.total_train_batches))
        self._train_bar.set_description(f"Epoch {trainer.current_epoch}")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not _is_open(self._train_bar):
            return
        last = trainer.state.is_last_batch
        if (batch_idx + 1) % self._refresh_rate and not last:
            return
        now = time.monotonic()
        if now >= self._next or last:
            self._next = now + INTERVAL
            self._train_bar.n = batch_idx + 1
            self._train_bar.set_postfix(short(self.get_metrics(trainer, pl_module)), refresh=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if _is_open(self._train_bar):
            self._train_bar.set_postfix(short(self.get_metrics(trainer, pl_module)), refresh=True)
            if self._leave:
                self._train_bar.close()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        for bar in (self._val_bar, self._train_bar):
            if bar is not None:
                bar.close()

    # -- evaluation ---------------------------------------------------------------------------------------------------------

    def open_bar(self, trainer: Trainer, kind: str, title: str, totals: list[Any]) -> None:
        self._val_bar = getattr(self, f"init_{kind}_tqdm")()
        self._val_bar.reset(_total(sum(totals)))
        self._val_bar.set_description(title)
        self._next = 0.0

    def advance_bar(self, batch_idx: int, loader_idx: int) -> None:
        if self._val_bar is not None:
            self._val_bar.n += 1
            now = time.monotonic()
            if now >= self._next:
                self._next = now + INTERVAL
                self._val_bar.refresh()

    def close_bar(self, trainer: Trainer, module: LightningModule) -> None:
        if self._val_bar is not None:
            self._val_bar.close()
        self._next = 0.0

    # -- bars ---------------------------------------------------------------------------------------------------------------

    def init_train_tqdm(self) -> Any:
        """A new bar for training epochs; override for another look."""
        return self._bar(position=2 * self._process_position, leave=True)

    def init_validation_tqdm(self) -> Any:
        """A new bar for validation within fit, and for validate."""
        return self._bar(position=2 * self._process_position + _is_open(self._train_bar), leave=False)

    def init_sanity_tqdm(self) -> Any:
        """A new bar for the sanity check."""
        return self.init_validation_tqdm()

    def init_test_tqdm(self) -> Any:
        """A new bar for test."""
        return self.init_validation_tqdm()

    def init_predict_tqdm(self) -> Any:
        """A new bar for predict."""
        return self.init_validation_tqdm()

    def _file(self) -> TextIO:
        return sys.stderr

    def _bar(self, position: int, leave: bool) -> Any:
        from tqdm import tqdm  # only where a bar is drawn

        return tqdm(
            position=position,
            leave=leave,
            disable=self.is_disabled,
            dynamic_ncols=True,
            file=self._file(),
            smoothing=0,
        )

    def print(self, *args: Any, **kwargs: Any) -> None:
        if not _is_open(self._train_bar) and not _is_open(self._val_bar):
            print(*args, **kwargs)
            return
        from tqdm import tqdm

        separator = kwargs.pop("sep", " ")
        tqdm.write(separator.join(map(str, args)), **kwargs)


def _is_open(bar: Any) -> bool:
    return bar is not None and not bar.disable


def _total(batches: float) -> int | None:
    return None if math.isinf(batches) else int(batches)


def short(metrics: dict[str, Any]) -> dict[str, str]:
    return {
        name: f"{value:.3g}" if isinstance(value, float) else str(value) for name, value in metrics.items()
    }
