"""Colours, for terminals that want them."""

from __future__ import annotations

_CODES = {"bold": "1", "red": "1;31", "cyan": "36", "blue": "1;34"}


def paint(text: str, colour: str, wanted: bool) -> str:
    """The text in bold, red, cyan or blue, if colours are wanted at all."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if wanted else text
