"""A picture of both loss curves, one over the other."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from litify_converter.verify.trace import Step, Trace
from litify_converter.verify.verdict import CannotVerify

_COLOURS = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9")  # of matplotlib's default cycle


def check_plot(path: Path) -> None:
    """Refuse before anything runs what could not be drawn afterwards."""
    if importlib.util.find_spec("matplotlib") is None:
        raise CannotVerify("--plot draws with matplotlib: pip install matplotlib")
    if not path.parent.is_dir():
        raise CannotVerify(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise CannotVerify(f"cannot write {path}: it is a folder; name an image file")
    kinds = _figure().canvas.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in kinds:
        raise CannotVerify(f"cannot write {path}: name a file that ends in .png, .svg or .pdf")


def draw_losses(raw: tuple[str, Trace], lit: tuple[str, Trace], path: Path) -> None:
    """Write the loss of each step, a colour per optimizer: the original as a broad line, the conversion dashed on it.

    Where neither script gave a loss to `backward`, the gradient norms are drawn instead.
    """
    has_loss = any(step.loss for _, trace in (raw, lit) for step in trace.steps)
    figure = _figure()
    axes = figure.add_subplot()
    for (script, trace), style in ((raw, {"linewidth": 3.0, "alpha": 0.4}), (lit, {"linestyle": "--"})):
        for optimizer, (steps, values) in _curves(trace, _loss if has_loss else _gradient).items():
            kind = trace.optimizers[optimizer] if len(trace.optimizers) > 1 else ""
            label = f"{script} {kind} #{optimizer}" if kind else script
            axes.plot(steps, values, color=_COLOURS[optimizer % len(_COLOURS)], label=label, **style)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss" if has_loss else "gradient norm")
    axes.legend()
    try:
        figure.savefig(path)
    except OSError as error:
        raise CannotVerify(f"cannot write {path}: {error.strerror}") from error


def _figure() -> Any:
    """Made without pyplot: no window system is asked for, and nothing global changes."""
    return importlib.import_module("matplotlib.figure").Figure(figsize=(8.0, 4.5), layout="constrained")


def _curves(trace: Trace, value: Callable[[Step], float | None]) -> dict[int, tuple[list[int], list[float]]]:
    """Optimizer -> indices and values of its steps."""
    curves: dict[int, tuple[list[int], list[float]]] = {}
    for index, step in enumerate(trace.steps):
        y = value(step)
        if y is not None:
            steps, values = curves.setdefault(step.optimizer, ([], []))
            steps.append(index)
            values.append(y)
    return curves


def _loss(step: Step) -> float | None:
    """All that was given to `backward` for this step: its parts, or the shares of an accumulated batch."""
    return sum(step.loss) if step.loss else None


def _gradient(step: Step) -> float:
    return step.grad_norm
