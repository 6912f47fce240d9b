"""Profilers: where the time of a training goes. `Trainer(profiler=...)` takes a name or a Profiler."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from litify.errors import MisconfigurationException
from litify.profilers.base import PassThroughProfiler, Profiler

if TYPE_CHECKING:
    from litify.profilers.advanced import AdvancedProfiler as AdvancedProfiler
    from litify.profilers.pytorch import PyTorchProfiler as PyTorchProfiler
    from litify.profilers.simple import SimpleProfiler as SimpleProfiler

# name of the Trainer's argument -> (module, class); loaded when asked for
PROFILERS = {
    "simple": ("litify.profilers.simple", "SimpleProfiler"),
    "advanced": ("litify.profilers.advanced", "AdvancedProfiler"),
    "pytorch": ("litify.profilers.pytorch", "PyTorchProfiler"),
}
__all__ = [
    "AdvancedProfiler",
    "PassThroughProfiler",
    "Profiler",
    "PyTorchProfiler",
    "SimpleProfiler",
    "make",
]


def make(asked: Any) -> Profiler:
    """The profiler that `Trainer(profiler=...)` means.

    Raises:
        MisconfigurationException: an unknown name, or no Profiler.
    """
    if asked is None:
        return PassThroughProfiler()
    if isinstance(asked, Profiler):
        return asked
    if not isinstance(asked, str) or asked.lower() not in PROFILERS:
        raise MisconfigurationException(
            f"Trainer(profiler={asked!r}): pass one of {', '.join(map(repr, PROFILERS))}, a Profiler, or None."
        )
    module, name = PROFILERS[asked.lower()]
    profiler: Profiler = getattr(import_module(module), name)()
    return profiler


def __getattr__(name: str) -> Any:
    for module, known in PROFILERS.values():
        if name == known:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'litify.profilers' has no attribute {name!r}")
