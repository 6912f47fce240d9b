"""Progress where output goes to a file: a line per epoch."""

from __future__ import annotations

import io
import math
import sys
import time
from typing import TYPE_CHECKING, TextIO

from litify.callbacks.base import Callback
from litify.callbacks.progress import TQDMProgressBar, short

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer


class Nowhere(io.TextIOBase, TextIO):
    """A file that forgets what is written to it."""

    def write(self, text: str) -> int:
        return len(text)


class EpochLines(TQDMProgressBar):
    """The default where stderr is no terminal: one line on stderr per epoch, with its metrics and seconds.

    The bars are there for whoever asks for them, but are drawn nowhere: they would fill log files with carriage returns.
    """

    def __init__(self) -> None:
        super().__init__()
        self._begun = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_start(trainer, pl_module)
        self._begun = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._train_bar is not None:
            self._train_bar.n = trainer.state.batch_idx + 1
        super().on_train_epoch_end(trainer, pl_module)
        if self.is_disabled:
            return
        metrics = short(self.get_metrics(trainer, pl_module))
        metrics.pop("v_num", None)
        of = f"/{trainer.max_epochs}" if trainer.max_epochs != -1 else ""
        done, seconds = trainer.state.batch_idx + 1, time.monotonic() - self._begun
        total = self.total_train_batches
        batches = f"{done} batches" if math.isinf(total) else f"{done}/{int(total)} batches"
        shown = "  ".join(f"{name}={value}" for name, value in metrics.items())
        text = f"epoch {trainer.current_epoch + 1}{of}  {batches}  {seconds:.1f} s  {shown}"
        print(text.rstrip(), file=sys.stderr, flush=True)

    # Nothing to draw, and reading metrics would wait for the device for nobody: not called for batches at all.
    on_train_batch_end = Callback.on_train_batch_end

    def _file(self) -> TextIO:
        return Nowhere()
