"""Automatic mixed precision: weights in 32 bit, forward passes under torch.autocast."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from litify.errors import MisconfigurationException
from litify.precision.base import Closure, Precision, parameters_of


class MixedPrecision(Precision):
    """bf16-mixed and 16-mixed: autocast to bfloat16, or to float16 with a loss scale.

    bfloat16 has the range of float32, so that its losses need no scaling: this class does without, and asking it for 16-mixed
    makes a HalfMixedPrecision.

    Args:
        precision: "bf16-mixed" or "16-mixed".
        device: type of the device on which steps run, such as "cuda".
        scaler: for 16-mixed: one with options of your own; by default a torch.amp.GradScaler for the device.

    Raises:
        ValueError: another precision, or a scaler for bf16-mixed.
    """

    precision: str = "bf16-mixed"
    autocasts: ClassVar[bool] = True
    dtype: ClassVar[torch.dtype] = torch.bfloat16

    def __init__(self, precision: str = "bf16-mixed", device: str = "cpu", scaler: Any = None) -> None:
        if precision not in ("16-mixed", "bf16-mixed"):
            raise ValueError(f"MixedPrecision(precision={precision!r}): pass '16-mixed' or 'bf16-mixed'.")
        if precision == "bf16-mixed" and scaler is not None:
            raise ValueError(
                "MixedPrecision('bf16-mixed', scaler=...): bf16 needs no loss scale; leave scaler out."
            )
        self.device, self.scaler = device, scaler
        if precision == "16-mixed":
            # A class of its own: what a step costs is decided by which methods the class overrides.
            self.__class__ = _half(type(self))
            self.scaler = scaler or torch.amp.GradScaler(device.partition(":")[0])
            self._unscaled: set[int] = set()

    def autocast_context_manager(self) -> AbstractContextManager[Any]:
        """Autocast for code of your own. Without its cache of cast weights, which lives on where grad modes are nested."""
        return self._autocast(cache_enabled=False)

    def forward_context(self) -> AbstractContextManager[Any]:
        return self._autocast(cache_enabled=True)

    def _autocast(self, cache_enabled: bool) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.partition(":")[0], dtype=self.dtype, cache_enabled=cache_enabled)


class HalfMixedPrecision(MixedPrecision):
    """16-mixed: autocast to float16 with a loss scale, so that small gradients are not lost."""

    precision: str = "16-mixed"
    dtype: ClassVar[torch.dtype] = torch.float16

    def __init__(self, precision: str = "16-mixed", device: str = "cpu", scaler: Any = None) -> None:
        super().__init__(precision, device, scaler)

    def scale(self, loss: Tensor) -> Tensor:
        scaled: Tensor = self.scaler.scale(loss)
        return scaled

    def unscale(self, optimizer: Optimizer) -> None:
        if id(optimizer) not in self._unscaled and self.scaler.is_enabled():
            self.scaler.unscale_(optimizer)
            self._unscaled.add(id(optimizer))

    def clip_gradients(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
        """As the base class; under manual optimization this comes before the step, and gradients still have their scale."""
        self.unscale(optimizer)
        super().clip_gradients(optimizer, *args, **kwargs)

    def optimizer_step(self, optimizer: Optimizer, closure: Closure, before_step: Closure | None) -> Any:
        """As the base class, but the closure runs first: the scaler must see the gradients before the step.

        Raises:
            MisconfigurationException: LBFGS, which would have to run the closure inside the step.
        """
        if isinstance(optimizer, LBFGS):
            raise MisconfigurationException(
                "LBFGS cannot train in 16-mixed; use precision='bf16-mixed' or '32-true'."
            )
        loss = closure()
        if loss is None and not _has_gradients(optimizer):  # training_step skipped the batch
            return None
        self.unscale(optimizer)
        if before_step is not None:
            before_step()
        self.scaler.step(optimizer)
        self.scaler.update()
        self._unscaled.clear()
        return loss

    @property
    def state_key(self) -> str:
        return MixedPrecision.__qualname__

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = self.scaler.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.scaler.load_state_dict(dict(state))


def _half(kind: type[MixedPrecision]) -> type[MixedPrecision]:
    """HalfMixedPrecision, with what a class of the user's adds."""
    if issubclass(kind, HalfMixedPrecision):
        return kind
    if kind is MixedPrecision:
        return HalfMixedPrecision
    made: type[MixedPrecision] = type(
        kind.__name__,
        (kind, HalfMixedPrecision),
        {"__module__": kind.__module__, "__reduce__": lambda self: (_unpickled, (kind, vars(self)))},
    )
    return made


def _unpickled(kind: type[MixedPrecision], state: dict[str, Any]) -> MixedPrecision:
    made = object.__new__(_half(kind))
    vars(made).update(state)
    return made


def _has_gradients(optimizer: Optimizer) -> bool:
    return any(parameter.grad is not None for parameter in parameters_of(optimizer))
