"""NVIDIA GPUs, and AMD's where torch is built for them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from litify.accelerators.base import Accelerator


class CUDAAccelerator(Accelerator):
    """Training on GPUs by CUDA or ROCm."""

    name: ClassVar[str] = "cuda"
    device_type: ClassVar[str] = "cuda"
    affinity: ClassVar[int] = 20
    process_group_backend: ClassVar[str] = "nccl"

    @classmethod
    def is_available(cls) -> bool:
        return torch.cuda.is_available()

    @classmethod
    def device_count(cls) -> int:
        return torch.cuda.device_count()

    def setup_device(self, device: torch.device) -> None:
        torch.cuda.set_device(device)

    def teardown(self) -> None:
        torch.cuda.empty_cache()

    def get_device_stats(self, device: torch.device) -> dict[str, Any]:
        """torch.cuda.memory_stats: bytes and counts."""
        return torch.cuda.memory_stats(device)
