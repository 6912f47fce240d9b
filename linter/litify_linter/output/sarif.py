"""SARIF 2.1.0, which code scanning services read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from litify_linter.rules import find_rule, severity

if TYPE_CHECKING:
    from litify_linter.check import Checked

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(files: Sequence[Checked], colour: bool) -> Iterator[str]:
    """The whole log: one run, its rules, its results."""
    codes = sorted({f.code for file in files for f in file.findings})
    results = [
        {
            "ruleId": f.code,
            "ruleIndex": codes.index(f.code),
            "level": severity(f.code),
            "message": {"text": f.message},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": _uri(file.path)},
                        "region": {
                            "startLine": f.line,
                            "startColumn": f.column,
                            "endLine": f.end_line,
                            "endColumn": f.end_column,
                        },
                    }
                }
            ],
        }
        for file in files
        for f in file.findings
    ]
    driver = {"name": "litify", "rules": [_description(code) for code in codes]}
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    yield json.dumps(log, indent=2) + "\n"


def _description(code: str) -> dict[str, Any]:
    rule = find_rule(code)
    if rule is None:  # E901, E902
        return {"id": code}
    what, why, _ = rule.documentation()
    return {
        "id": code,
        "name": rule.name,
        "shortDescription": {"text": what},
        "fullDescription": {"text": why},
    }


def _uri(path: str) -> str:
    return Path(path).as_uri() if Path(path).is_absolute() else quote(Path(path).as_posix())
