"""Kinds of hardware, by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from litify.accelerators.base import Accelerator
from litify.errors import MisconfigurationException

# name in Trainer(accelerator=...) -> class
ACCELERATORS: dict[str, str | type[Accelerator]] = {
    "cpu": "litify.accelerators.cpu:CPUAccelerator",
    "cuda": "litify.accelerators.cuda:CUDAAccelerator",
    "mps": "litify.accelerators.mps:MPSAccelerator",
    "tpu": "litify.accelerators.xla:XLAAccelerator",
}
ALIASES = {"xla": "tpu"}
_CLASSES = {str(path).rpartition(":")[2]: name for name, path in ACCELERATORS.items()}
__all__ = [
    "ACCELERATORS",
    "Accelerator",
    "AcceleratorRegistry",
    "CPUAccelerator",
    "CUDAAccelerator",
    "MPSAccelerator",
    "XLAAccelerator",
    "find_usable_cuda_devices",
    "make",
]


class AcceleratorRegistry:
    """Names for `Trainer(accelerator=...)`, and further ones of your own."""

    @staticmethod
    def register(name: str, accelerator: type[Accelerator], description: str = "") -> None:
        """Make `accelerator()` known as `name`."""
        ACCELERATORS[name] = accelerator

    @staticmethod
    def remove(name: str) -> None:
        del ACCELERATORS[name]

    @staticmethod
    def get(name: str) -> Accelerator:
        return make(name)

    @staticmethod
    def available_accelerators() -> set[str]:
        return set(ACCELERATORS)


def make(name: str) -> Accelerator:
    """The accelerator of this name; "auto" the best there is, "gpu" CUDA or else MPS.

    Raises:
        MisconfigurationException: no such name, or not on this machine.
    """
    if name == "auto":
        found = [load(each) for each in ACCELERATORS]
        return max((kind for kind in found if kind.is_preferred()), key=lambda kind: kind.affinity)()
    if name == "gpu":
        name = "mps" if load("mps").is_available() else "cuda"
    name = ALIASES.get(name, name)
    if name not in ACCELERATORS:
        raise MisconfigurationException(
            f"Trainer(accelerator={name!r}): known accelerators are 'auto', 'gpu', {', '.join(ACCELERATORS)}."
        )
    kind = load(name)
    if not kind.is_available():
        raise MisconfigurationException(
            f"Trainer(accelerator={name!r}): this machine has none that torch can use. Pass accelerator='auto' or 'cpu'."
        )
    return kind()


def load(name: str) -> type[Accelerator]:
    """The class of the accelerator `name`."""
    known = ACCELERATORS[name]
    if not isinstance(known, str):
        return known
    module, _, attribute = known.partition(":")
    kind: type[Accelerator] = getattr(import_module(module), attribute)
    return kind


def __getattr__(name: str) -> Any:
    if name == "find_usable_cuda_devices":
        return getattr(import_module("litify.accelerators.cuda"), name)
    if name in _CLASSES:
        return load(_CLASSES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
