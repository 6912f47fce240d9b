"""RichProgressBar: a progress bar drawn by rich."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from litify.callbacks.progress import INTERVAL, Bars
from litify.errors import MissingExtra

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer


def check_rich(name: str) -> None:
    """Raises MissingExtra where rich is not installed."""
    if find_spec("rich") is None:
        raise MissingExtra(f'{name} needs rich, which is not installed: pip install "litify[run]"')


@dataclass
class RichProgressBarTheme:
    """Rich styles of the parts of a bar, and how metrics are written beside it."""

    description: Any = ""
    progress_bar: Any = "#6206E0"
    progress_bar_finished: Any = "#6206E0"
    progress_bar_pulse: Any = "#6206E0"
    batch_progress: Any = ""
    time: Any = "dim"
    processing_speed: Any = "dim underline"
    metrics: Any = "italic"
    metrics_text_delimiter: str = " "
    metrics_format: str = ".3f"


# kind of pass -> what its task is called in `RichProgressBar`
IDS = {"sanity": "val_sanity", "validation": "val", "test": "test", "predict": "predict"}


class RichProgressBar(Bars):
    """Bars for epochs and evaluation on stderr, by rich.

    Args:
        refresh_rate: 0 shows nothing; else bars are drawn ten times a second at most.
        leave: whether bars of finished epochs stay.
        theme: styles.
        console_kwargs: arguments of rich.console.Console.

    Attributes:
        progress: the running rich.progress.Progress.

    Raises:
        MissingExtra: rich is not installed.
    """

    with_rich = True  # the model summary then is drawn by rich, too

    def __init__(
        self,
        refresh_rate: int = 100,
        leave: bool = False,
        theme: RichProgressBarTheme | None = None,
        console_kwargs: dict[str, Any] | None = None,
    ) -> None:
        check_rich(type(self).__name__)
        super().__init__()
        self.theme = RichProgressBarTheme() if theme is None else theme
        self._refresh_rate, self._leave, self._console_kwargs = refresh_rate, leave, console_kwargs or {}
        self.progress: Any = None
        self._started = False
        self._metrics: Any = None  # the column of metrics
        self._next = 0.0
        self._pass: tuple[str, str, list[Any]] = (
            "",
            "",
            [],
        )  # of evaluation: attribute of its task, title, batches
        self._reset_ids()

    def _reset_ids(self) -> None:
        self.train_progress_bar_id: Any = None
        self.val_progress_bar_id: Any = None
        self.val_sanity_progress_bar_id: Any = None
        self.test_progress_bar_id: Any = None
        self.predict_progress_bar_id: Any = None

    @property
    def refresh_rate(self) -> int:
        return self._refresh_rate

    @property
    def is_enabled(self) -> bool:
        return self._enabled and self._refresh_rate > 0

    @property
    def is_disabled(self) -> bool:
        return not self.is_enabled

    def configure_columns(self, trainer: Any) -> list[Any]:
        """The columns of a bar, metrics aside; override for others."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        theme = self.theme
        bar = BarColumn(
            complete_style=theme.progress_bar,
            finished_style=theme.progress_bar_finished,
            pulse_style=theme.progress_bar_pulse,
        )
        speed = TextColumn("{task.fields[speed]}", style=theme.processing_speed or "none")
        text = TextColumn("{task.description}", style=theme.description or "none")
        return [text, bar, MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), speed]

    # -- the display --------------------------------------------------------------------------------------------------

    def _start(self, trainer: Trainer) -> None:
        if self.is_disabled or self._started:
            return
        from rich.console import Console
        from rich.progress import Progress

        self._reset_ids()
        self._metrics = _metrics_column(self)
        self.progress = Progress(
            *self.configure_columns(trainer),
            self._metrics,
            console=Console(**{"stderr": True, **self._console_kwargs}),
            auto_refresh=False,  # drawn between batches, not by a thread beside them
            redirect_stdout=sys.stdout.isatty(),  # output that goes to a file stays there
        )
        self.progress.start()
        self._started, self._next = True, 0.0

    def _stop(self) -> None:
        if self._started:
            self.progress.stop()
            self._started = False

    def _add(self, description: str, total: float) -> Any:
        known = None if math.isinf(total) else int(total)
        return self.progress.add_task(description, total=known, speed="")

    def _advance(self, task: Any, done: int, last: bool = False) -> bool:
        """Draw, if it is time to. Returns whether it was."""
        if task is None or not self._started:
            return False
        now = time.monotonic()
        if now < self._next and not last:
            return False
        self._next = now + INTERVAL
        speed = self.progress.tasks[self.progress.task_ids.index(task)].speed
        self.progress.update(task, completed=done, speed="" if not speed else f"{speed:.2f}it/s")
        return True

    def _show_metrics(self, trainer: Trainer, module: LightningModule) -> None:
        if self._started:
            self._metrics.metrics = self.get_metrics(trainer, module)
            self.progress.refresh()

    # -- training -----------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.is_disabled:
            return
        if self._leave and self.train_progress_bar_id is not None:
            self._stop()
            self._start(trainer)
        total, self._next = self.total_train_batches, 0.0
        end = "" if trainer.max_epochs == -1 else f"/{trainer.max_epochs - 1}"
        title = f"{f'Epoch {trainer.current_epoch}{end}':<10}"  # as wide as "Validation"
        if self.train_progress_bar_id is None:
            self.train_progress_bar_id = self._add(title, total)
        else:
            known = None if math.isinf(total) else int(total)
            self.progress.reset(self.train_progress_bar_id, total=known, description=title, speed="")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.train_progress_bar_id is None and self._started:  # resumed within an epoch
            self.train_progress_bar_id = self._add(f"Epoch {trainer.current_epoch}", self.total_train_batches)
        if self._advance(self.train_progress_bar_id, batch_idx + 1, trainer.state.is_last_batch):
            self._show_metrics(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._advance(self.train_progress_bar_id, trainer.state.batch, last=True)
        self._show_metrics(trainer, pl_module)

    # -- evaluation ---------------------------------------------------------------------------------------------------

    def open_bar(self, trainer: Trainer, kind: str, title: str, totals: list[Any]) -> None:
        self._start(trainer)
        self._pass = f"{IDS[kind]}_progress_bar_id", title, totals

    def advance_bar(self, batch_idx: int, loader_idx: int) -> None:
        """A bar per loader and pass; that of the previous one goes."""
        if not self._started:
            return
        name, title, totals = self._pass
        total = totals[loader_idx if loader_idx < len(totals) else 0]
        if batch_idx == 0:
            before = getattr(self, name)
            if before is not None:
                self.progress.remove_task(before)
            setattr(self, name, self._add(title, total))
            self._next = 0.0
        if self._advance(getattr(self, name), batch_idx + 1, batch_idx + 1 == total):
            self.progress.refresh()

    def close_bar(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.state.fn == "fit" and self._started:
            task = getattr(self, self._pass[0])
            if task is not None:
                self.progress.update(task, visible=False)
            self._show_metrics(trainer, module)
            self._next = 0.0

    # -- the end ------------------------------------------------------------------------------------------------------

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def print(self, *args: Any, **kwargs: Any) -> None:
        if self._started and sys.stdout.isatty() and not kwargs.get("file"):
            self.progress.console.print(*args, **kwargs)
        else:
            print(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "progress": None, "_metrics": None, "_started": False, "_trainer": None}


def _metrics_column(bar: RichProgressBar) -> Any:
    """The column of metrics, beside the training bar."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Metrics(ProgressColumn):
        metrics: dict[str, Any] = {}

        def render(self, task: Task) -> Text:
            if task.id != bar.train_progress_bar_id:
                return Text()
            theme = bar.theme
            texts = [
                f"{name}: {value:{theme.metrics_format}}" if isinstance(value, float) else f"{name}: {value}"
                for name, value in self.metrics.items()
            ]
            return Text(theme.metrics_text_delimiter.join(texts), style=theme.metrics)

    return Metrics()
