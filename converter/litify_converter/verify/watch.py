"""What a recorded script computes and says between its optimizer steps: forward passes and printed lines.

Evaluation takes no optimizer step, so it is known by these. A forward pass is the outermost call of a module with
parameters; how deep a script's own modules nest inside it is its own business. A LightningModule counts both as such
a call and as none, so that `self(x)` and `self.model(x)` are both found.

Child side; torch is imported late because the parent's rule for this package is that only the recorder loads it.
"""

from __future__ import annotations

import functools
import math
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from litify_converter.verify.trace import ForwardPass, PrintedLine

if TYPE_CHECKING:
    import torch

_LONGEST_LINE = 500  # characters; beyond, it is a dump of data rather than a result

Place = Callable[[], str | None]  # the user's line that is running


def watch_passes(write: Callable[[ForwardPass], None], here: Place) -> None:
    """Tell of every forward pass of the main thread (the replicas of a DataParallel run in others)."""
    import torch

    call = torch.nn.Module.__call__
    inside = False

    @functools.wraps(call)
    def watched(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        nonlocal inside
        if inside or not _can_be_measured() or next(self.parameters(), None) is None:
            return call(self, *args, **kwargs)
        evaluation = not (self.training and torch.is_grad_enabled())
        inside = not _is_lightning(type(self))
        try:
            output = call(self, *args, **kwargs)
        finally:
            inside = False
        measures = [_measure(tensor) for tensor in _tensors(output)]
        if measures:
            norm = math.hypot(*(norm for norm, _ in measures))
            write(ForwardPass(norm, sum(part for _, part in measures), evaluation, here()))
        return output

    torch.nn.Module.__call__ = watched  # type: ignore[method-assign]


def watch_lines(write: Callable[[PrintedLine], None], here: Place) -> None:
    """Tell of every line with a number on standard output, and where in the script it began."""
    stream = sys.stdout
    original = stream.write
    waiting: list[str] = []
    began: str | None = None

    def watched(text: str) -> int:
        nonlocal began
        written = original(text)
        if not waiting:
            began = here()
        waiting.append(text)
        if "\n" in text:
            *lines, rest = "".join(waiting).split("\n")
            waiting[:] = [rest] if rest else []
            for line in filter(_is_result, map(_as_shown, lines)):
                write(PrintedLine(line.strip(), began))
        return written

    stream.write = watched  # type: ignore[method-assign]


def _as_shown(line: str) -> str:
    """What is left of a line on a terminal: a progress bar returns to its start, and what is printed stands over it."""
    return line.rstrip("\r").rpartition("\r")[2]


def _is_result(line: str) -> bool:
    return len(line) <= _LONGEST_LINE and any(map(str.isdigit, line))


def _can_be_measured() -> bool:
    """Not while a graph is being traced or vectorized: there are no numbers then."""
    import torch

    return (
        threading.current_thread() is threading.main_thread()
        and not torch.compiler.is_compiling()
        and not torch._C._is_tracing()
        and not torch._C._are_functorch_transforms_active()
    )


def _is_lightning(kind: type) -> bool:
    return any(base.__name__ == "LightningModule" for base in kind.__mro__)


def _tensors(value: object) -> Iterator[torch.Tensor]:
    """Those with numbers to compare, in what a module returned."""
    import torch

    match value:
        case torch.Tensor():
            if value.numel() and value.device.type != "meta" and type(value).__name__ != "FakeTensor":
                yield value
        case Mapping():
            for item in value.values():
                yield from _tensors(item)
        case list() | tuple():
            for item in value:
                yield from _tensors(item)


def _measure(tensor: torch.Tensor) -> tuple[float, float]:
    """Norm, and scalar product with a fixed direction, so that a permuted batch does not look the same."""
    import torch

    with torch.no_grad():
        numbers = plain(tensor).double()
        direction = _direction(len(numbers), str(numbers.device))
        return math.sqrt(float(numbers.square().sum())), float((numbers * direction).sum())


@functools.lru_cache(maxsize=8)
def _direction(length: int, device: str) -> torch.Tensor:
    import torch

    return torch.arange(1, length + 1, dtype=torch.float64, device=device).square_().cos_()


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """Its numbers as one dense real vector; the shards of a distributed tensor are brought together."""
    import torch

    tensor = tensor.detach()
    if hasattr(tensor, "full_tensor"):
        tensor = tensor.full_tensor()
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    if tensor.device.type == "mps":  # knows no float64
        tensor = tensor.cpu()
    return tensor.reshape(-1)
