"""Throughput: batches, samples, items and FLOPs per second over a window of recent steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

# Dense peak of matrix products, in TFLOP/s, from the vendors' data sheets: name -> (16 bit, 32 bit).
PEAKS = {
    "h200": (989.5, 67), "h100 pcie": (756.5, 51), "h100": (989.5, 67), "a100": (312, 19.5), "a10g": (125, 31.2), "a40": (149.7, 37.4),
    "a6000": (154.8, 38.7), "l40s": (362, 91.6), "l40": (181, 90.5), "l4": (121, 30.3), "v100": (125, 15.7), "t4": (65, 8.1),
    "4090": (165.2, 82.6), "3090": (71, 35.6),
}  # fmt: skip


def get_available_flops(device: torch.device, dtype: torch.dtype) -> int | None:
    """Peak operations per second of a device for matrix products of this type; None where it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device).lower()
    for known, (half, single) in PEAKS.items():
        if known in name:
            return int((half if dtype in (torch.float16, torch.bfloat16) else single) * 1e12)
    return None


def measure_flops(
    model: nn.Module, forward_fn: Callable[[], Tensor], loss_fn: Callable[[Tensor], Tensor] | None = None
) -> int:
    """Floating point operations of a forward, and of a backward where there is a loss. Works on the meta device.

    Args:
        model: the module, which is left as it is.
        forward_fn: runs it on an input.
        loss_fn: from the forward's result to a number; None for the forward alone.
    """
    counter = FlopCounterMode(display=False)
    with counter:
        output = forward_fn()
        if loss_fn is not None:
            loss_fn(output).backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


class Throughput:
    """Rates over a window of steps, from totals since a start.

    Args:
        available_flops: of a device, for the share of it that is used ("mfu").
        world_size: devices, for the rates of all of them together.
        window_size: steps; rates are known once there are so many.
        separator: between the parts of a name.

    Raises:
        ValueError: a window of fewer than 2 steps.
    """

    def __init__(
        self,
        available_flops: float | None = None,
        world_size: int = 1,
        window_size: int = 100,
        separator: str = "/",
    ) -> None:
        if window_size < 2:
            raise ValueError(f"Throughput(window_size={window_size}): a rate needs 2 steps or more.")
        self.available_flops, self.world_size, self.separator = available_flops, world_size, separator
        self._rows: deque[dict[str, float]] = deque(maxlen=window_size)
        self._flops: deque[float] = deque(maxlen=window_size)

    @property
    def seconds(self) -> float:
        """The time of the latest step; 0 before."""
        return self._rows[-1]["time"] if self._rows else 0.0

    def update(
        self,
        *,
        time: float,
        batches: int,
        samples: int,
        lengths: int | None = None,
        flops: float | None = None,
    ) -> None:
        """A step is done.

        Args:
            time: seconds since the start.
            batches, samples, lengths: totals since the start.
            flops: operations of this step on this device.

        Raises:
            ValueError: a total that did not grow.
        """
        row: dict[str, float] = {"time": time, "batches": batches, "samples": samples}
        if lengths is not None:
            row["lengths"] = lengths
        shrunk = [name for name, value in row.items() if self._rows and value <= self._rows[-1].get(name, -1)]
        if shrunk:
            raise ValueError(
                f"Throughput.update({row}): {', '.join(shrunk)} did not grow since {self._rows[-1]}."
            )
        self._rows.append(row)
        if flops is not None:
            self._flops.append(flops)

    def compute(self) -> dict[str, float]:
        """Totals, and with a full window the rates: per device, and with several devices those of all."""
        if not self._rows:
            return {}
        found = dict(self._rows[-1])
        if len(self._rows) < (self._rows.maxlen or 2):
            return found
        growth = {name: value - self._rows[0].get(name, 0) for name, value in self._rows[-1].items()}
        elapsed = growth.pop("time")
        rates = {
            f"{name}_per_sec".replace("lengths", "items"): more / elapsed for name, more in growth.items()
        }
        if len(self._flops) == self._flops.maxlen:
            rates["flops_per_sec"] = (sum(self._flops) - self._flops[0]) / elapsed
        if self.world_size > 1:
            found.update({name: rate * self.world_size for name, rate in rates.items()})
        if self.available_flops and "flops_per_sec" in rates:
            rates["mfu"] = rates["flops_per_sec"] / self.available_flops
        found.update({f"device{self.separator}{name}": rate for name, rate in rates.items()})
        return found

    def reset(self) -> None:
        self._rows.clear()
        self._flops.clear()


def compute_dtype(precision: str) -> Any:
    """The type in which a precision multiplies."""
    if precision.startswith("bf16"):
        return torch.bfloat16
    return {"16": torch.float16, "64": torch.float64}.get(precision.partition("-")[0], torch.float32)
