"""Text as a terminal should get it: colours if it wants them, nothing that it would obey."""

from __future__ import annotations

_CODES = {"bold": "1", "red": "1;31", "cyan": "36", "blue": "1;34"}


def paint(text: str, colour: str, wanted: bool) -> str:
    """The text in bold, red, cyan or blue, if colours are wanted at all."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if wanted else text


def printable(text: str) -> str:
    """The text with tabs as one blank, and control characters (a terminal obeys them) as a mark."""
    if text.isprintable():
        return text
    # Lone surrogates stand for bytes of a file name that are no text: they are escaped when written.
    return "".join(
        " " if c == "\t" else c if c.isprintable() or "\ud800" <= c <= "\udfff" else "\ufffd" for c in text
    )
