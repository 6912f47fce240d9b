"""The processor itself."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import torch

from litify.accelerators.base import Accelerator, Devices
from litify.errors import MisconfigurationException, MissingExtra


class CPUAccelerator(Accelerator):
    """Training on the CPU. A "device" is a process; there is no limit to their number."""

    name: ClassVar[str] = "cpu"
    device_type: ClassVar[str] = "cpu"

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
        if type(number) is not int or number < 1:
            raise MisconfigurationException(
                f"Trainer(accelerator='cpu', devices={devices!r}): pass the number of processes, 1 or more."
            )
        return list(range(number))

    def get_device_stats(self, device: torch.device) -> dict[str, Any]:
        """Use of the processor and of memory, in percent.

        Raises:
            MissingExtra: psutil is not installed.
        """
        try:
            import psutil  # type: ignore[import-untyped]
        except ImportError:
            raise MissingExtra("Statistics of the CPU need psutil: pip install psutil") from None
        return {
            "cpu_vm_percent": psutil.virtual_memory().percent,
            "cpu_percent": psutil.cpu_percent(),
            "cpu_swap_percent": psutil.swap_memory().percent,
        }
