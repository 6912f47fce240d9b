"""The processor itself."""

from __future__ import annotations

import os
from typing import ClassVar

import torch

from litify.accelerators.base import Accelerator, Devices
from litify.errors import MisconfigurationException


class CPUAccelerator(Accelerator):
    """Training on the CPU. A "device" is a process; there is no limit to their number."""

    name: ClassVar[str] = "cpu"
    device_type: ClassVar[str] = "cpu"
    default_devices: ClassVar[int | None] = 1

    @classmethod
    def is_available(cls) -> bool:
        return True

    @classmethod
    def device_count(cls) -> int:
        return os.cpu_count() or 1

    def device(self, index: int) -> torch.device:
        return torch.device("cpu")

    def indices(self, devices: Devices) -> list[int]:
        number = int(devices) if isinstance(devices, str) and devices.isdigit() else devices
        if devices == "auto":
            number = 1
        if type(number) is not int or number < 1:
            raise MisconfigurationException(
                f"Trainer(accelerator='cpu', devices={devices!r}): pass the number of processes, 1 or more."
            )
        return list(range(number))
