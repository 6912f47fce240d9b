"""The Trainer's arguments, checked and turned into one form each."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from litify.errors import MisconfigurationException
from litify.rank_zero import say

LIMITS = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches")


def duration(value: str | timedelta | Mapping[str, float] | None, argument: str) -> timedelta | None:
    """A time span given as "DD:HH:MM:SS", a timedelta, or its keyword arguments.

    Raises:
        MisconfigurationException: none of these.
    """
    match value:
        case None | timedelta():
            return value
        case str() if len(parts := value.split(":")) == 4 and all(part.strip().isdigit() for part in parts):
            days, hours, minutes, seconds = map(int, parts)
            return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        case Mapping():
            return timedelta(**value)
    raise MisconfigurationException(
        f'Trainer({argument}={value!r}): pass "DD:HH:MM:SS", a timedelta, or a dictionary such as {{"minutes": 30}}.'
    )


def limit(value: float | None, argument: str) -> int | float:
    """A number of batches (int) or a fraction of them (float from 0.0 to 1.0); None is all.

    Raises:
        MisconfigurationException: out of range.
    """
    if value is None:
        return 1.0
    if isinstance(value, (int, float)) and value >= 0 and (value <= 1 or value == int(value)):
        whole = value > 1 or (isinstance(value, int) and not isinstance(value, bool))
        return int(value) if whole else float(value)
    raise MisconfigurationException(
        f"Trainer({argument}={value!r}): pass a number of batches (int, 0 or more) or a fraction (0.0 to 1.0)."
    )


# What 1 (int) and 1.0 (float) mean, which are easily mistaken for one another.
ONES = {
    "val_check_interval": ("validates after each batch", "validates after each epoch"),
    **dict.fromkeys(
        [*(f"limit_{kind}_batches" for kind in ("train", "val", "test", "predict")), "overfit_batches"],
        ("takes 1 batch", "takes all batches"),
    ),
}


def tell_ones(given: dict[str, Any]) -> None:
    """Say of each argument given as 1 or 1.0 which it is."""
    for name, (whole, share) in ONES.items():
        if given[name] == 1 and not isinstance(given[name], bool):
            say(f"litify: Trainer({name}={given[name]}) {whole if isinstance(given[name], int) else share}")


def batch_limits(
    given: Mapping[str, float | None], overfit: float, fast_dev_run: bool | int
) -> dict[str, int | float]:
    """The four limits, after overfit_batches and fast_dev_run had their say."""
    limits = {name: limit(given[name], name) for name in LIMITS}
    overfit = limit(overfit, "overfit_batches")
    if overfit:
        limits["limit_train_batches"] = limits["limit_val_batches"] = overfit
    if fast_dev_run:
        limits = dict.fromkeys(LIMITS, int(fast_dev_run))
    return limits


def check(
    fast_dev_run: bool | int,
    accumulate: int,
    clip_value: float | None,
    clip_algorithm: str | None,
    max_epochs: int | None,
    max_steps: int,
    check_val_every_n_epoch: int | None,
    val_check_interval: Any,
    reload_every: int,
) -> None:
    """Refuse what makes no sense.

    Raises:
        MisconfigurationException, TypeError: which argument, and what to pass instead.
    """
    if isinstance(fast_dev_run, int) and fast_dev_run < 0:
        raise MisconfigurationException(
            f"Trainer(fast_dev_run={fast_dev_run}): pass True or a number of batches."
        )
    if not isinstance(accumulate, int) or accumulate < 1:
        raise MisconfigurationException(
            f"Trainer(accumulate_grad_batches={accumulate!r}): pass a whole number of batches, 1 or more."
        )
    if clip_value is not None and (isinstance(clip_value, bool) or not isinstance(clip_value, (int, float))):
        raise TypeError(f"Trainer(gradient_clip_val={clip_value!r}): pass a number or None.")
    if clip_algorithm is not None and str(clip_algorithm).lower() not in ("norm", "value"):
        raise MisconfigurationException(
            f"Trainer(gradient_clip_algorithm={clip_algorithm!r}): pass 'norm' or 'value'."
        )
    if max_epochs is not None and max_epochs < -1:
        raise MisconfigurationException(
            f"Trainer(max_epochs={max_epochs}): pass 0 or more, or -1 for no end."
        )
    if max_steps < -1:
        raise MisconfigurationException(f"Trainer(max_steps={max_steps}): pass 0 or more, or -1 for no end.")
    if check_val_every_n_epoch is not None and not isinstance(check_val_every_n_epoch, int):
        raise MisconfigurationException(
            f"Trainer(check_val_every_n_epoch={check_val_every_n_epoch!r}): pass a number of epochs or None."
        )
    if check_val_every_n_epoch is None and isinstance(val_check_interval, float):
        raise MisconfigurationException(
            f"Trainer(val_check_interval={val_check_interval}, check_val_every_n_epoch=None): counting over epochs needs a number of "
            "batches as val_check_interval."
        )
    if not isinstance(reload_every, int) or reload_every < 0:
        raise MisconfigurationException(
            f"Trainer(reload_dataloaders_every_n_epochs={reload_every!r}): pass a number of epochs, 0 for never."
        )


def from_environment(given: dict[str, Any], init: Any) -> dict[str, Any]:
    """Arguments, those left at their default taken from environment variables such as PL_TRAINER_DEVICES=2.

    Args:
        init: `Trainer.__init__`, whose defaults count.
    """
    prefix = "PL_TRAINER_"
    asked = {
        name.removeprefix(prefix).lower(): text
        for name, text in os.environ.items()
        if name.startswith(prefix)
    }
    if not asked:
        return given
    defaults = inspect.signature(init).parameters
    for name in asked.keys() & given.keys():
        if given[name] is defaults[name].default:
            try:
                given = {**given, name: ast.literal_eval(asked[name])}
            except (ValueError, SyntaxError):
                given = {**given, name: asked[name]}
    return given


def barebones(given: dict[str, Any]) -> dict[str, Any]:
    """Arguments for `barebones=True`: nothing that costs time besides training itself.

    Raises:
        ValueError: an argument asks for such a thing.
    """
    off = {
        "logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
        "num_sanity_val_steps": 0, "log_every_n_steps": 0, "fast_dev_run": False, "detect_anomaly": False, "profiler": None,
    }  # fmt: skip
    asked = [name for name, value in off.items() if given[name] and given[name] is not value]
    if asked:
        raise ValueError(
            f"Trainer(barebones=True) turns {', '.join(asked)} off; leave {'it' if len(asked) == 1 else 'them'} out."
        )
    return {**given, **off}


def deterministic(value: bool | str | None, benchmark: bool | None) -> None:
    """Tell torch to use deterministic algorithms, and cuDNN whether to try out algorithms.

    Raises:
        MisconfigurationException: not True, False, None or "warn".
    """
    import torch

    if value not in (None, True, False, "warn"):
        raise MisconfigurationException(f"Trainer(deterministic={value!r}): pass True, False or 'warn'.")
    if value:
        torch.use_deterministic_algorithms(True, warn_only=value == "warn")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by cuBLAS for determinism
    if benchmark is None and value:
        benchmark = False
    if benchmark is not None:
        torch.backends.cudnn.benchmark = benchmark
