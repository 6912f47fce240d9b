"""The callbacks a Trainer has: those given, and the default ones where they are wanted and missing."""

from __future__ import annotations

import sys
from typing import Any

from litify.callbacks.base import Callback
from litify.callbacks.batch_size_finder import BatchSizeFinder
from litify.callbacks.checkpoint import Checkpoint
from litify.callbacks.epoch_lines import EpochLines
from litify.callbacks.model_checkpoint import ModelCheckpoint
from litify.callbacks.progress import ProgressBar, TQDMProgressBar
from litify.callbacks.timer import Timer
from litify.errors import MisconfigurationException
from litify.hooks import replaced
from litify.settings import duration


def complete(trainer: Any, given: dict[str, Any], fast: int) -> list[Callback]:
    """The Trainer's callbacks, checkpoint callbacks last.

    Raises:
        MisconfigurationException: a callback of a kind that another argument turns off, or twice the same state key.
    """
    asked = given["callbacks"]
    callbacks: list[Callback] = (
        list(asked) if isinstance(asked, (list, tuple)) else [asked] if asked is not None else []
    )
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise MisconfigurationException(
                f"Trainer(callbacks=...) got a {type(callback).__name__}; derive the class from litify.Callback."
            )
    _timer(trainer, given, callbacks)
    _progress(given, callbacks)
    _summary(given, callbacks)
    _checkpoint(given, callbacks, fast)
    _unique(callbacks)
    for callback in callbacks:
        if isinstance(callback, BatchSizeFinder):
            callback.check_place(trainer.world_size)  # now, before any process starts
    return sorted(callbacks, key=lambda callback: isinstance(callback, Checkpoint))


def _timer(trainer: Any, given: dict[str, Any], callbacks: list[Callback]) -> None:
    span = duration(given["max_time"], "max_time")
    if span is not None and not any(isinstance(callback, Timer) for callback in callbacks):
        callbacks.append(Timer(duration=span, interval="step"))
    trainer.has_timer = any(isinstance(callback, Timer) for callback in callbacks)


def _progress(given: dict[str, Any], callbacks: list[Callback]) -> None:
    bars = [callback for callback in callbacks if isinstance(callback, ProgressBar)]
    if len(bars) > 1:
        raise MisconfigurationException("Trainer(callbacks=...) has two progress bars; pass one.")
    if given["enable_progress_bar"] is False:
        if bars:
            raise MisconfigurationException(
                "Trainer(enable_progress_bar=False) goes with no progress bar callback; leave one of them out."
            )
    elif not bars:
        callbacks.append(TQDMProgressBar() if sys.stderr.isatty() else EpochLines())


def _summary(given: dict[str, Any], callbacks: list[Callback]) -> None:
    """The table of layers for who asks for it, drawn by rich beside a bar of rich. By default fit says in one block what matters."""
    asked, rich = given["enable_model_summary"], any(getattr(bar, "with_rich", False) for bar in callbacks)
    if asked is False or not (asked or rich):
        return
    from litify.callbacks.model_summary import ModelSummary
    from litify.callbacks.rich_model_summary import RichModelSummary

    if not any(isinstance(callback, ModelSummary) for callback in callbacks):
        callbacks.append(RichModelSummary() if rich else ModelSummary())


def _checkpoint(given: dict[str, Any], callbacks: list[Callback], fast: int) -> None:
    there = any(isinstance(callback, Checkpoint) for callback in callbacks)
    if given["enable_checkpointing"] is False and there:
        raise MisconfigurationException(
            "Trainer(enable_checkpointing=False) goes with no checkpoint callback; leave one of them out."
        )
    if given["enable_checkpointing"] is not False and not there and not fast:
        callbacks.append(ModelCheckpoint())


def _unique(callbacks: list[Callback]) -> None:
    keys = [callback.state_key for callback in callbacks if replaced("state_dict", callback)]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise RuntimeError(
            f"Two callbacks keep their state under the same key {twice}; give one of them a `state_key` of its own."
        )
