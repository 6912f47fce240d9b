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


def find_usable_cuda_devices(num_devices: int = -1) -> list[int]:
    """Indices of GPUs that take a tensor: others are, in exclusive mode, in use by somebody else.

    Args:
        num_devices: how many to find; -1 is all.

    Raises:
        ValueError: this machine has fewer.
        RuntimeError: fewer than that are free.
    """
    there = torch.cuda.device_count()
    if num_devices > there:
        raise ValueError(f"find_usable_cuda_devices({num_devices}): this machine has {there} GPU(s).")
    usable: list[int] = []
    for index in range(there):
        if len(usable) == num_devices:
            break
        try:
            torch.tensor(0.0, device=torch.device("cuda", index))
        except RuntimeError:
            continue
        usable.append(index)
    if num_devices != -1 and len(usable) < num_devices:
        raise RuntimeError(
            f"find_usable_cuda_devices({num_devices}): of the {there} GPU(s) only {usable} are free; ask for fewer."
        )
    return usable
