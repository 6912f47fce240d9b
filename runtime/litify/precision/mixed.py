"""Automatic mixed precision: weights in 32 bit, forward passes under torch.autocast."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from litify.errors import MisconfigurationException
from litify.precision.base import Closure, Precision


class MixedPrecision(Precision):
    """bf16-mixed: autocast to bfloat16. Its range is that of float32, so losses need no scaling."""

    name: ClassVar[str] = "bf16-mixed"
    autocasts: ClassVar[bool] = True
    dtype: ClassVar[torch.dtype] = torch.bfloat16

    def forward_context(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device_type, dtype=self.dtype)


class HalfMixedPrecision(MixedPrecision):
    """16-mixed: autocast to float16 with a loss scale, so that small gradients are not lost.

    Args:
        scaler: one with options of your own; by default a torch.amp.GradScaler for the device.
    """

    name: ClassVar[str] = "16-mixed"
    dtype: ClassVar[torch.dtype] = torch.float16

    def __init__(self, device_type: str = "cpu", scaler: Any = None) -> None:
        super().__init__(device_type)
        self.scaler = scaler or torch.amp.GradScaler(device_type)
        self._unscaled: set[int] = set()

    def scale(self, loss: Tensor) -> Tensor:
        scaled: Tensor = self.scaler.scale(loss)
        return scaled

    def unscale(self, optimizer: Optimizer) -> None:
        if id(optimizer) not in self._unscaled and self.scaler.is_enabled():
            self.scaler.unscale_(optimizer)
            self._unscaled.add(id(optimizer))

    def optimizer_step(self, optimizer: Optimizer, closure: Closure, before_step: Closure | None) -> Any:
        """As the base class, but the closure runs first: the scaler must see the gradients before the step.

        Raises:
            MisconfigurationException: LBFGS, which would have to run the closure inside the step.
        """
        if isinstance(optimizer, LBFGS):
            raise MisconfigurationException(
                "LBFGS cannot train in 16-mixed; use precision='bf16-mixed' or '32-true'."
            )
        loss = closure()
        if loss is None and not _has_gradients(optimizer):  # training_step skipped the batch
            return None
        self.unscale(optimizer)
        if before_step is not None:
            before_step()
        self.scaler.step(optimizer)
        self.scaler.update()
        self._unscaled.clear()
        return loss

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = self.scaler.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.scaler.load_state_dict(dict(state))


def _has_gradients(optimizer: Optimizer) -> bool:
    return any(p.grad is not None for group in optimizer.param_groups for p in group["params"])
