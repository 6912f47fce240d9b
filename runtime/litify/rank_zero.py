"""What only one of many processes should say."""

from __future__ import annotations

import logging
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


def disable_possible_user_warnings(module: str = "") -> None:
    """Ignore every PossibleUserWarning, or those from modules whose name matches this regular expression."""
    warnings.filterwarnings("ignore", module=module, category=PossibleUserWarning)


if os.environ.get("POSSIBLE_USER_WARNINGS", "").lower() in ("0", "off"):
    disable_possible_user_warnings()


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


class Console(logging.Handler):
    """Writes messages on stderr, as it is then, unless the program has a console handler of its own, which gets them anyway."""

    def emit(self, record: logging.LogRecord) -> None:
        streams = (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
        shown = any(getattr(handler, "stream", None) in streams for handler in logging.getLogger().handlers)
        if not shown:
            print(self.format(record), file=sys.stderr, flush=True)


LOG = logging.getLogger("litify")
"""What the Trainer tells; `logging.getLogger("litify").setLevel(logging.ERROR)` silences it."""
if LOG.level == logging.NOTSET:
    LOG.setLevel(logging.INFO)
LOG.addHandler(Console())


@rank_zero_only
def say(*lines: Any) -> None:
    """A line for the person who watches, by the logger "litify": on stderr, so that a script's own output stays its own."""
    LOG.info(" ".join(map(str, lines)))


# The same by the names of `lightning.pytorch.utilities.rank_zero`.


def rank_zero_info(*lines: Any, **kwargs: Any) -> None:
    """A line for the person who watches, from rank 0. Arguments of logging, such as stacklevel, are taken and not needed."""
    say(*lines)


@rank_zero_only
def rank_zero_debug(*lines: Any, **kwargs: Any) -> None:
    """As `rank_zero_info`, at a level that is shown only where it is asked for."""
    LOG.debug(" ".join(map(str, lines)))


@rank_zero_only
def rank_zero_warn(
    message: Any, stacklevel: int = 4, category: type[Warning] = UserWarning, **kwargs: Any
) -> None:
    """A warning from rank 0, as `warnings.warn`; the default line is that of the caller."""
    warnings.warn(message, category=category, stacklevel=max(2, stacklevel - 1), **kwargs)


def rank_zero_deprecation(message: Any, stacklevel: int = 5, **kwargs: Any) -> None:
    """A deprecation warning from rank 0."""
    rank_zero_warn(message, stacklevel, LightningDeprecationWarning, **kwargs)
