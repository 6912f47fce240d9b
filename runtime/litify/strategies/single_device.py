"""One process, one device."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from litify.strategies.base import Strategy

if TYPE_CHECKING:
    from litify.accelerators.base import Accelerator
    from litify.plugins.checkpoint_io import CheckpointIO
    from litify.precision.base import Precision


class SingleDeviceStrategy(Strategy):
    """Training on one CPU, GPU or other device.

    Args:
        device: the device; None takes what the Trainer's `accelerator` and `devices` say.
        accelerator, checkpoint_io, precision_plugin: see `Strategy`.
    """

    name: ClassVar[str] = "single_device"
    world_size: int = 1

    def __init__(
        self,
        device: torch.device | str | int | None = None,
        accelerator: Accelerator | None = None,
        checkpoint_io: CheckpointIO | None = None,
        precision_plugin: Precision | None = None,
    ) -> None:
        super().__init__(accelerator, checkpoint_io, precision_plugin)
        self._device = None if device is None else torch.device(device)

    @property
    def root_device(self) -> torch.device:
        return self.devices[0] if self._device is None else self._device
