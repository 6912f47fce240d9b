"""Each classic spelling gets a hint of today's, once in a process."""

from __future__ import annotations

from litify.rank_zero import warn

_said: set[str] = set()


def hint(old: str, new: str) -> None:
    """Say once how an old spelling is written today."""
    if old not in _said:
        _said.add(old)
        warn(f"{old} is how Lightning 1.x spelt {new}; it is translated.")
