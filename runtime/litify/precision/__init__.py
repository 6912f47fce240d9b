"""Numeric precisions, by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from litify.errors import MisconfigurationException
from litify.precision.base import Precision
from litify.rank_zero import warn

__all__ = ["PRECISIONS", "DoublePrecision", "HalfPrecision", "MixedPrecision", "Precision", "make"]

# name in Trainer(precision=...) -> class; then other spellings of the names
PRECISIONS = {
    "64-true": "litify.precision.true:DoublePrecision",
    "32-true": "litify.precision.base:Precision",
    "16-true": "litify.precision.true:HalfPrecision",
    "bf16-true": "litify.precision.true:HalfPrecision",
    "16-mixed": "litify.precision.mixed:MixedPrecision",
    "bf16-mixed": "litify.precision.mixed:MixedPrecision",
}
ALIASES = {"64": "64-true", "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}


def canonical(precision: int | str) -> str:
    """The full name of a precision: 16 is "16-mixed".

    Raises:
        MisconfigurationException: there is no such precision.
    """
    name = ALIASES.get(str(precision), str(precision))
    if name not in PRECISIONS:
        raise MisconfigurationException(
            f"Trainer(precision={precision!r}): known precisions are {', '.join(PRECISIONS)}, and 64, 32, 16, 'bf16'."
        )
    return name


def suited(name: str, device_type: str) -> str:
    """The precision that stands for `name` on `device_type`: a CPU has no fast float16, so bf16-mixed for 16-mixed."""
    return "bf16-mixed" if name == "16-mixed" and device_type == "cpu" else name


def make(precision: int | str | None, device_type: str) -> Precision:
    """The precision of this name for tensors on `device_type`."""
    asked = canonical(32 if precision is None else precision)
    name = suited(asked, device_type)
    if name != asked:
        warn(
            f"Trainer(precision={precision!r}): CPUs compute in float16 a hundred times slower; {name} is used on this one."
        )
    kind = _load(PRECISIONS[name])
    arguments = {
        "16-mixed": (name, device_type),
        "bf16-mixed": (name, device_type),
        "16-true": (name,),
        "bf16-true": (name,),
    }
    made: Precision = kind(*arguments.get(name, ()))
    return made


def _load(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


_CLASSES = {path.rpartition(":")[2]: path for path in PRECISIONS.values()}


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return _load(_CLASSES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
