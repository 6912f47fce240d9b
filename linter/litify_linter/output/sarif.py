"""SARIF 2.1.0, which code scanning services read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from litify_linter.rules import find_rule, severity

if TYPE_CHECKING:
    from litify_linter.checked import Checked
    from litify_linter.rule import Finding, Fix

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(files: Sequence[Checked], colour: bool) -> Iterator[str]:
    """The whole log: one run, its rules, its results. Columns count characters, as `columnKind` says."""
    codes = sorted({f.code for file in files for f in file.findings})
    run = {
        "tool": {"driver": {"name": "litify", "rules": [_description(code) for code in codes]}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(file, f, codes.index(f.code)) for file in files for f in file.findings],
    }
    yield json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(file: Checked, finding: Finding, rule: int) -> dict[str, Any]:
    artifact = {"uri": _uri(file.path)}
    region = _region(finding.line, finding.column, finding.end_line, finding.end_column)
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": severity(finding.code),
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": {"artifactLocation": artifact, "region": region}}],
    }
    # Within a notebook an edit is one of a cell, of which SARIF knows nothing.
    if finding.fix is not None and finding.cell is None:
        result["fixes"] = [_fix(finding.fix, artifact)]
    return result


def _fix(fix: Fix, artifact: dict[str, str]) -> dict[str, Any]:
    replacements = [
        {
            "deletedRegion": _region(edit.line, edit.column, edit.end_line, edit.end_column),
            "insertedContent": {"text": edit.text},
        }
        for edit in fix.edits
    ]
    command = "--fix" if fix.safe else "--fix --unsafe-fixes"
    return {
        "description": {"text": f"What `litify lint {command}` does"},
        "artifactChanges": [{"artifactLocation": artifact, "replacements": replacements}],
    }


def _region(line: int, column: int, end_line: int, end_column: int) -> dict[str, int]:
    return {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}


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
