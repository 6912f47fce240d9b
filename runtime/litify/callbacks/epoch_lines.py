"""Progress where output goes to a file: a line per epoch."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING

from litify.callbacks.progress import ProgressBar, short

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer


class EpochLines(ProgressBar):
    """The default where stderr is no terminal: one line on stderr per epoch, with its metrics and seconds.

    A moving bar would fill log files with carriage returns.
    """

    def __init__(self) -> None:
        super().__init__()
        self._begun = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begun = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.is_disabled:
            return
        metrics = short(self.get_metrics(trainer, pl_module))
        metrics.pop("v_num", None)
        of = f"/{trainer.max_epochs}" if trainer.max_epochs != -1 else ""
        done, seconds = trainer.state.batch_idx + 1, time.monotonic() - self._begun
        batches = (
            f"{done} batches"
            if math.isinf(self.total_train_batches)
            else f"{done}/{int(self.total_train_batches)} batches"
        )
        shown = "  ".join(f"{name}={value}" for name, value in metrics.items())
        text = f"epoch {trainer.current_epoch + 1}{of}  {batches}  {seconds:.1f} s  {shown}"
        print(text.rstrip(), file=sys.stderr, flush=True)
