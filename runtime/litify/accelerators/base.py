"""What the Trainer asks of a kind of hardware: is it there, how many, which torch devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from litify.errors import MisconfigurationException

Devices = int | str | Sequence[int]


class Accelerator:
    """One kind of hardware. A subclass states its `name`, whether it is there, and how many devices it has."""

    name: ClassVar[str] = ""
    device_type: ClassVar[str] = ""
    """The `torch.device` type of its devices."""
    affinity: ClassVar[int] = 0
    """`accelerator="auto"` takes the available accelerator with the highest affinity."""
    process_group_backend: ClassVar[str] = "gloo"
    """The torch.distributed backend that its tensors need."""

    @classmethod
    def is_available(cls) -> bool:
        """Whether this machine can train on it now."""
        raise NotImplementedError

    @classmethod
    def is_preferred(cls) -> bool:
        """Whether `accelerator="auto"` may take it."""
        return cls.is_available()

    @classmethod
    def device_count(cls) -> int:
        """Number of devices on this machine (0 when unavailable)."""
        raise NotImplementedError

    @classmethod
    def auto_device_count(cls) -> int:
        """How many devices `devices="auto"` takes. More than one changes what is trained (a larger batch), so it has to be asked
        for: `devices=-1`."""
        return 1

    def setup_device(self, device: torch.device) -> None:
        """Make `device` this process's current one. Raises when it cannot be used."""

    def teardown(self) -> None:
        """Give cached memory back after fit, validate, test or predict."""

    def get_device_stats(self, device: torch.device) -> dict[str, Any]:
        """How busy `device` is, as numbers by name, for DeviceStatsMonitor."""
        return {}

    def select(self, devices: Devices) -> list[torch.device]:
        """Turn the Trainer's `devices` into the torch devices of this node, in the order asked for.

        A number takes the first so many, "auto" the default, -1 or "-1" all, "3" three, "0,2" or [0, 2] those indices.

        Raises:
            MisconfigurationException: the value makes no sense, or asks for devices that are not there.
        """
        if devices == "auto":
            devices = self.auto_device_count()
        return self.get_parallel_devices(self.parse_devices(devices))

    def parse_devices(self, devices: Devices) -> Any:
        """What `get_parallel_devices` takes: here the indices asked for. An accelerator of your own may override both."""
        return self.indices(devices)

    def get_parallel_devices(self, devices: Any) -> list[torch.device]:
        """The torch devices of this node."""
        return [self.device(index) for index in devices]

    def device(self, index: int) -> torch.device:
        return torch.device(self.device_type, index)

    def indices(self, devices: Devices) -> list[int]:
        available = self.device_count()
        asked = _indices(devices, available)
        missing = [index for index in asked if index >= available]
        if missing or not asked:
            raise MisconfigurationException(
                f"Trainer(devices={devices!r}) asks for {self.name} device(s) {missing or asked}, but this machine has "
                f"{available}. Ask for at most {available}, or pass accelerator='cpu'."
            )
        return asked


def _indices(devices: Devices, available: int) -> list[int]:
    match devices:
        case bool() | None:
            raise MisconfigurationException(
                f"Trainer(devices={devices!r}): pass a number, a list of indices or 'auto'."
            )
        case -1 | "-1":
            return list(range(available))
        case int():
            return list(range(devices))
        case str():
            parts = [part.strip() for part in devices.split(",") if part.strip()]
            if not parts or not all(part.isdigit() for part in parts):
                raise MisconfigurationException(
                    f"Trainer(devices={devices!r}): pass a number, indices like '0,2', a list, or 'auto'."
                )
            numbers = [int(part) for part in parts]
            return numbers if "," in devices else list(range(numbers[0]))
        case _:
            if not all(type(index) is int for index in devices):
                raise TypeError(f"Trainer(devices={devices!r}): a list of devices holds whole numbers.")
            if len(set(devices)) != len(devices) or min(devices, default=0) < 0:
                raise MisconfigurationException(
                    f"Trainer(devices={devices!r}): a list of devices holds different indices from 0."
                )
            return list(devices)
