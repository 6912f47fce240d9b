"""TPU cores, and whatever else PJRT offers, by torch_xla."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import ClassVar

import torch

from litify.accelerators.base import Accelerator


class XLAAccelerator(Accelerator):
    """Training on TPU. torch_xla is imported only when this accelerator is asked for by name, or a TPU is there."""

    name: ClassVar[str] = "tpu"
    device_type: ClassVar[str] = "xla"
    affinity: ClassVar[int] = 30

    @classmethod
    def is_available(cls) -> bool:
        return find_spec("torch_xla") is not None

    @classmethod
    def is_preferred(cls) -> bool:
        # torch_xla also drives the CPU, for tests: only a TPU is worth taking unasked.
        return cls.is_available() and os.environ.get("PJRT_DEVICE") == "TPU"

    @classmethod
    def device_count(cls) -> int:
        if not cls.is_available():
            return 0
        import torch_xla.runtime as runtime  # seconds to import, and starts the device

        return int(runtime.global_runtime_device_count())

    def device(self, index: int) -> torch.device:
        return torch.device("xla", index)
