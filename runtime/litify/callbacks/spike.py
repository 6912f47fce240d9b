"""SpikeDetection: stop where the loss jumps, and note the batches that did it."""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from litify.callbacks.base import Callback
from litify.errors import MisconfigurationException

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer

FILE = "skip_batches.json"


class TrainingSpikeException(RuntimeError):
    """The loss has jumped."""

    def __init__(self, batch_idx: int, *args: Any) -> None:
        super().__init__(
            f"The loss jumped in batch {batch_idx}; that batch and the one before are to be skipped.", *args
        )
        self.batch_idx = batch_idx

    def __reduce__(self) -> Any:
        return type(self), (self.batch_idx,)


class SpikeDetection(Callback):
    """Ends training on all ranks where the loss of one jumps away from its running mean.

    The batch, and the one before it, whose step may be what broke the weights, are written to a JSON list of indices, for a
    data set that leaves them out. Each batch waits for the device, as the loss is read.

    Args:
        mode: "min" or "max": which losses are better; one better than the last is never a spike.
        window: over how many losses the mean runs.
        warmup: batches before spikes are looked for.
        atol: the smallest distance from the mean that is a spike; None is any.
        rtol: the same, as a multiple of the mean; with both, both must be met.
        exclude_batches_path: a .json file, or a folder for skip_batches.json; default: the Trainer's default_root_dir.
        finite_only: a loss that is NaN or infinite is a spike; False passes over it.

    Attributes:
        bad_batches: the indices written.

    Raises:
        MisconfigurationException: another mode.
        TrainingSpikeException: from on_train_batch_end, at a spike.
        TypeError: training_step returned no loss.
    """

    def __init__(
        self,
        mode: str = "min",
        window: int = 10,
        warmup: int = 1,
        atol: float | None = None,
        rtol: float | None = 2.0,
        exclude_batches_path: str | Path | None = None,
        finite_only: bool = True,
    ) -> None:
        if mode not in ("min", "max"):
            raise MisconfigurationException(f"SpikeDetection(mode={mode!r}): pass 'min' or 'max'.")
        self.mode, self.warmup, self.atol, self.rtol = mode, warmup, atol, rtol
        self.exclude_batches_path, self.finite_only = exclude_batches_path, finite_only
        self.bad_batches: list[int] = []
        self._losses: deque[float] = deque(maxlen=window)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = float(_loss(outputs))
        decide = trainer.strategy.reduce_boolean_decision
        if decide(batch_idx >= self.warmup and self.is_spike(loss), all=False):
            self._note(trainer, batch_idx)
            raise TrainingSpikeException(batch_idx)
        if decide(math.isfinite(loss)):
            self._losses.append(loss)

    def is_spike(self, loss: float) -> bool:
        """Whether a loss, the next after those seen, has jumped."""
        if not math.isfinite(loss):  # one that is infinitely bad is far from any mean, and never passed over
            return self.finite_only or loss == (math.inf if self.mode == "min" else -math.inf)
        if not self._losses:
            return False
        last, mean = self._losses[-1], sum(self._losses) / len(self._losses)
        if loss <= last if self.mode == "min" else loss >= last:
            return False
        distance = abs(loss - mean)
        far = self.atol is None or distance >= abs(self.atol)
        return far and (self.rtol is None or distance >= abs(self.rtol * mean))

    def _note(self, trainer: Trainer, batch_idx: int) -> None:
        self.bad_batches += [batch_idx - 1, batch_idx]
        if trainer.is_global_zero:
            path = os.fspath(self.exclude_batches_path or trainer.default_root_dir)
            file = Path(path if path.endswith(".json") else os.path.join(path, FILE))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(self.bad_batches))

    def state_dict(self) -> dict[str, Any]:
        return {"bad_batches": list(self.bad_batches), "losses": list(self._losses)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.bad_batches = list(state_dict["bad_batches"])
        self._losses = deque(state_dict["losses"], maxlen=self._losses.maxlen)


def _loss(outputs: Any) -> Tensor:
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
    if not isinstance(loss, Tensor):
        raise TypeError("SpikeDetection needs the loss that training_step returns; it returned none.")
    return loss
