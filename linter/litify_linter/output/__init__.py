"""How findings are printed: one module per format, each with `render(files, style)`."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litify_linter.checked import Checked

FORMATS = ("full", "concise", "github", "gitlab", "json", "junit", "sarif")


def render(form: str, files: Sequence[Checked], colour: bool = False) -> Iterable[str]:
    """The text of all findings in one of FORMATS, as pieces that end in a line break."""
    module = importlib.import_module(f"{__name__}.{form}")
    pieces: Iterable[str] = module.render(files, colour)
    return pieces
