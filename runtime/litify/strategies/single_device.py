"""One process, one device."""

from __future__ import annotations

from typing import ClassVar

import torch

from litify.strategies.base import Strategy


class SingleDeviceStrategy(Strategy):
    """Training on one CPU, GPU or other device.

    Args:
        device: the device; None takes what the Trainer's `accelerator` and `devices` say.
    """

    name: ClassVar[str] = "single_device"

    def __init__(self, device: torch.device | str | int | None = None) -> None:
        self._device = None if device is None else torch.device(device)

    @property
    def root_device(self) -> torch.device:
        return self.devices[0] if self._device is None else self._device
