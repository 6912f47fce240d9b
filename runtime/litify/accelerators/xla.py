"""TPU cores, and whatever else PJRT offers, by torch_xla."""

from __future__ import annotations

import os
from glob import glob
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, ClassVar

import torch

from litify.accelerators.base import Accelerator, Devices
from litify.errors import MisconfigurationException, MissingExtra

# Files by which the kernel shows TPU chips: the first up to v4, the second from v5 on.
TPU_FILES = ("/dev/accel*", "/dev/vfio/[0-9]*")


class XLAAccelerator(Accelerator):
    """Training on TPU cores. With PJRT_DEVICE set, on what it names: `PJRT_DEVICE=CPU CPU_NUM_DEVICES=4` makes four of the CPU."""

    name: ClassVar[str] = "tpu"
    device_type: ClassVar[str] = "xla"
    affinity: ClassVar[int] = 30

    @classmethod
    def is_available(cls) -> bool:
        """Whether torch_xla is installed and has a device to find. Imports nothing, so that "auto" may ask everywhere."""
        if find_spec("torch_xla") is None:
            return False
        return "PJRT_DEVICE" in os.environ or any(map(glob, TPU_FILES))

    @classmethod
    def device_count(cls) -> int:
        """Number of cores on this machine. Starts the XLA runtime, which takes seconds the first time."""
        if not cls.is_available():
            return 0
        return int(torch_xla().runtime.global_runtime_device_count())

    def device(self, index: int) -> torch.device:
        return torch.device("xla", index)

    def indices(self, devices: Devices) -> list[int]:
        """One core, or all: XLA lays its mesh over every core it has.

        Raises:
            MisconfigurationException: another number.
        """
        asked = super().indices(devices)
        available = self.device_count()
        if len(asked) not in (1, available):
            raise MisconfigurationException(
                f"Trainer(devices={devices!r}) on this machine with {available} cores: take all of them, {available}, or 1."
            )
        return asked


def torch_xla() -> Any:
    """The package torch_xla with its `runtime` and `distributed.spmd` loaded.

    Raises:
        MissingExtra: it is not installed.
        MisconfigurationException: it is made for another torch.
    """
    if find_spec("torch_xla") is None:
        raise MissingExtra("training on TPU needs the tpu extra: pip install 'litify[tpu]'")
    os.environ.setdefault(
        "TF_CPP_MIN_LOG_LEVEL", "2"
    )  # else XLA's compiler warns of its own plans at every graph
    try:
        for module in ("torch_xla.runtime", "torch_xla.distributed.spmd"):
            import_module(module)
    except ImportError as error:
        raise MisconfigurationException(
            f"torch_xla {version('torch_xla')} does not load with torch {torch.__version__}: install the two in the same version "
            f"({str(error).splitlines()[0][:120]})"
        ) from error
    return import_module("torch_xla")
