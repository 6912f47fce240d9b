"""Notebooks run as scripts: the scratch copy of one gets the Python of its cells, and its lines are told as cells."""

from __future__ import annotations

import re
from pathlib import Path

from litify_converter.notebook import Joined, is_notebook, join_file
from litify_converter.refusals import ConversionError
from litify_converter.report import place
from litify_converter.verify.verdict import CannotVerify


def python_in(script: str, copy: Path) -> Joined | None:
    """Put the Python of a notebook into its scratch copy; None, and nothing done, for a script.

    Raises:
        CannotVerify: the notebook can't be read, or has lines that only IPython runs.
    """
    if not is_notebook(Path(script)):
        return None
    try:
        joined = join_file(Path(script))
    except ConversionError as error:
        raise CannotVerify(f"{place(script, error.cell, error.line)}: {error}") from None
    if joined.refusal is not None:
        where = place(script, *joined.place(joined.refusal.line))
        raise CannotVerify(f"{where}: cannot be run as a script: {joined.refusal}")
    copy.write_text(joined.text, encoding="utf-8")
    return joined


def in_cells(where: str, joined: Joined | None) -> str:
    """`train.ipynb:37` as `train.ipynb:cell 4:3`; of a script, or another file, as it is."""
    match = re.fullmatch(r"(.*\.ipynb):(\d+)", where)
    if joined is None or match is None:
        return where
    return place(match[1], *joined.place(int(match[2])))
