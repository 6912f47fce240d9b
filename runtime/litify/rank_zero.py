"""What only one of many processes should say."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class PossibleUserWarning(UserWarning):
    """Something that is probably not meant; filter this class to silence such warnings."""


class LightningDeprecationWarning(DeprecationWarning):
    """An old spelling was used."""


_rank: int | None = None


def set_rank(rank: int | None) -> None:
    """What a strategy knows of this process's rank; None leaves it to the environment variables."""
    global _rank
    _rank = rank


def rank() -> int:
    """This process's rank among all, from the strategy or what launchers set; 0 when there is one process."""
    if _rank is not None:
        return _rank
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


class _RankZeroOnly:
    """Wraps a function so that it runs in the process of rank 0 alone, and returns None in the others. `rank` is this process's."""

    def __call__(self, function: Callable[P, T]) -> Callable[P, T | None]:
        @wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> T | None:
            return function(*args, **kwargs) if rank() == 0 else None

        return wrapped

    @property
    def rank(self) -> int:
        return rank()

    @rank.setter
    def rank(self, value: int | None) -> None:
        set_rank(value)


rank_zero_only = _RankZeroOnly()


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """A warning from rank 0, at the user's line that led to it."""
    if rank() > 0:
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "litify":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category=category, stacklevel=level)


@rank_zero_only
def say(*lines: Any) -> None:
    """A line for the person who watches, on stderr, so that a script's own output stays its own."""
    print(*lines, file=sys.stderr, flush=True)
