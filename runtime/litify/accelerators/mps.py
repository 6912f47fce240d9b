"""The GPU of Apple silicon."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from litify.accelerators.base import Accelerator


class MPSAccelerator(Accelerator):
    """Training on the GPU of a Mac, of which there is one."""

    name: ClassVar[str] = "mps"
    device_type: ClassVar[str] = "mps"
    affinity: ClassVar[int] = 10

    @classmethod
    def is_available(cls) -> bool:
        return torch.backends.mps.is_available()

    @classmethod
    def device_count(cls) -> int:
        return 1 if cls.is_available() else 0

    def teardown(self) -> None:
        torch.mps.empty_cache()

    def get_device_stats(self, device: torch.device) -> dict[str, Any]:
        """Memory in bytes."""
        return {
            "mps_current_allocated_bytes": torch.mps.current_allocated_memory(),
            "mps_driver_allocated_bytes": torch.mps.driver_allocated_memory(),
        }
