"""A JSON list with the fields that consumers of ruff's JSON output know."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litify_linter.check import Checked


def render(files: Sequence[Checked], colour: bool) -> Iterator[str]:
    """The whole list."""
    findings = [
        {
            "code": f.code,
            "name": f.name,
            "message": f.message,
            "filename": os.path.abspath(file.path),
            "location": {"row": f.line, "column": f.column},
            "end_location": {"row": f.end_line, "column": f.end_column},
            "noqa_row": f.line,
            "cell": None,
            "fix": None,
            "url": None,
        }
        for file in files
        for f in file.findings
    ]
    yield json.dumps(findings, indent=2) + "\n"
