"""The whole model in one floating point type: 64-true, 16-true, bf16-true."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from litify.precision.base import Precision
from litify.transfer import apply


class TruePrecision(Precision):
    """Weights, inputs and new tensors of `dtype`; loss scaling is the user's business."""

    dtype: torch.dtype
    converts_input: ClassVar[bool] = True
    autocasts: ClassVar[bool] = True  # not autocast, but likewise a context around each step

    def convert_module(self, module: nn.Module) -> nn.Module:
        def cast(tensor: Tensor) -> Tensor:  # `module.to` would drop the imaginary part of complex ones
            return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

        return module._apply(cast)  # type: ignore[no-untyped-call,no-any-return]

    def convert_input(self, batch: Any) -> Any:
        def cast(tensor: Tensor) -> Tensor:
            return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

        return apply(batch, cast)

    @contextmanager
    def _default_dtype(self) -> Iterator[None]:
        before = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)

    def module_init_context(self) -> AbstractContextManager[Any]:
        return self._default_dtype()

    def forward_context(self) -> AbstractContextManager[Any]:
        return self._default_dtype()


class DoublePrecision(TruePrecision):
    """Everything in float64."""

    precision: str = "64-true"
    dtype = torch.float64


class HalfPrecision(TruePrecision):
    """Everything in float16 or bfloat16.

    Args:
        precision: "16-true" or "bf16-true".

    Raises:
        ValueError: another precision.
    """

    def __init__(self, precision: str = "16-true") -> None:
        if precision not in HALF:
            raise ValueError(f"HalfPrecision(precision={precision!r}): pass {' or '.join(map(repr, HALF))}.")
        self.precision, self.dtype = precision, HALF[precision]


HALF = {"16-true": torch.float16, "bf16-true": torch.bfloat16}
