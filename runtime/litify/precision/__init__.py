"""Numeric precisions, by name."""

from __future__ import annotations

from importlib import import_module

from litify.errors import MisconfigurationException
from litify.precision.base import Precision

__all__ = ["PRECISIONS", "Precision", "make"]

# name in Trainer(precision=...) -> class; then other spellings of the names
PRECISIONS = {
    "64-true": "litify.precision.true:DoublePrecision",
    "32-true": "litify.precision.base:Precision",
    "16-true": "litify.precision.true:HalfPrecision",
    "bf16-true": "litify.precision.true:BFloat16Precision",
    "16-mixed": "litify.precision.mixed:HalfMixedPrecision",
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


def make(precision: int | str | None, device_type: str) -> Precision:
    """The precision of this name for tensors on `device_type`."""
    module, _, attribute = PRECISIONS[canonical(32 if precision is None else precision)].partition(":")
    made: Precision = getattr(import_module(module), attribute)(device_type)
    return made
