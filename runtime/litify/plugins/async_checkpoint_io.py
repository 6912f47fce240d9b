"""Checkpoints written in a thread, while training goes on."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from litify.plugins.checkpoint_io import CheckpointIO, TorchCheckpointIO
from litify.transfer import apply


class AsyncCheckpointIO(CheckpointIO):
    """Copies a checkpoint's tensors, and has another CheckpointIO write the copy in a thread, one file after another.

    Args:
        checkpoint_io: what writes; default: local files.
    """

    def __init__(self, checkpoint_io: CheckpointIO | None = None) -> None:
        self.checkpoint_io = checkpoint_io or TorchCheckpointIO()
        self._thread: ThreadPoolExecutor | None = None
        self._pending: list[Future[None]] = []

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Copy, and return; the file is written a little later.

        Raises:
            Exception: whatever an earlier write failed with.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="litify_checkpoint")
        for done in [each for each in self._pending if each.done()]:
            self._pending.remove(done)
            done.result()
        snapshot = apply(
            checkpoint, lambda tensor: tensor.detach().clone()
        )  # training goes on changing the weights
        self._pending.append(
            self._thread.submit(self.checkpoint_io.save_checkpoint, snapshot, path, storage_options)
        )

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        self._wait()
        return self.checkpoint_io.load_checkpoint(path, map_location, weights_only)

    def remove_checkpoint(self, path: str | Path) -> None:
        self._wait()
        self.checkpoint_io.remove_checkpoint(path)

    def teardown(self) -> None:
        """Wait for what is still being written.

        Raises:
            Exception: whatever a write failed with.
        """
        if self._thread is not None:
            self._thread.shutdown(wait=True)
            self._thread = None
        self._wait()
        self.checkpoint_io.teardown()

    def _wait(self) -> None:
        pending, self._pending = self._pending, []
        for each in pending:
            each.result()
