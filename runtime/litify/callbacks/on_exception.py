"""OnExceptionCheckpoint: a checkpoint when training fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from litify.callbacks.checkpoint import Checkpoint

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer


class OnExceptionCheckpoint(Checkpoint):
    """Saves when a call of the Trainer ends by an exception; a later one that succeeds removes the file.

    Args:
        dirpath: the folder.
        filename: the file's name without ".ckpt".

    Raises:
        ValueError: the name is empty.
    """

    FILE_EXTENSION = ".ckpt"

    def __init__(self, dirpath: str | Path, filename: str = "on_exception") -> None:
        if not filename:
            raise ValueError("OnExceptionCheckpoint(filename=''): pass a name.")
        self.dirpath, self.filename = dirpath, filename

    @property
    def ckpt_path(self) -> str:
        return os.path.join(self.dirpath, self.filename + self.FILE_EXTENSION)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        trainer.save_checkpoint(self.ckpt_path)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if trainer.is_global_zero:
            Path(self.ckpt_path).unlink(missing_ok=True)
