"""What all checkpoint callbacks have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from litify.callbacks.base import Callback


class Checkpoint(Callback):
    """Base of callbacks that write checkpoints. They run last, so that they save what others have changed."""

    monitors: ClassVar[bool] = True
    dirpath: Any = None

    def last_candidates(self, trainer: Any) -> list[str]:
        """Files that `ckpt_path="last"` may mean, for this callback."""
        return []
