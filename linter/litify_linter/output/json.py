"""A JSON list with the fields that consumers of ruff's JSON output know."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from litify_linter.rule import Fix
from litify_linter.rules import severity

if TYPE_CHECKING:
    from litify_linter.checked import Checked


def render(files: Sequence[Checked], colour: bool) -> Iterator[str]:
    """The whole list."""
    findings = [
        {
            "code": f.code,
            "severity": severity(f.code),
            "name": f.name,
            "message": f.message,
            "filename": os.path.abspath(file.path),
            "location": {"row": f.line, "column": f.column},
            "end_location": {"row": f.end_line, "column": f.end_column},
            "noqa_row": f.line,
            "cell": f.cell,
            "fix": _fix(f.fix),
            "url": None,
        }
        for file in files
        for f in file.findings
    ]
    yield json.dumps(findings, indent=2) + "\n"


def _fix(fix: Fix | None) -> dict[str, Any] | None:
    if fix is None:
        return None
    edits = [
        {
            "content": edit.text,
            "location": {"row": edit.line, "column": edit.column},
            "end_location": {"row": edit.end_line, "column": edit.end_column},
        }
        for edit in fix.edits
    ]
    return {"applicability": "safe" if fix.safe else "unsafe", "message": None, "edits": edits}
