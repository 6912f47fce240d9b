"""GitLab's code quality report: a JSON list with a fingerprint for each finding."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from litify_linter.rules import severity

if TYPE_CHECKING:
    from litify_linter.checked import Checked


def render(files: Sequence[Checked], colour: bool) -> Iterator[str]:
    """The whole report."""
    seen: Counter[str] = Counter()
    issues = []
    for file in files:
        for f in file.findings:
            # Without the line: a finding that only moved is the same one. The count tells equals apart.
            identity = f"{file.path}:{f.code}:{f.message}"
            seen[identity] += 1
            fingerprint = hashlib.sha256(
                f"{identity}:{seen[identity]}".encode(errors="surrogatepass")
            ).hexdigest()
            positions = {
                "begin": {"line": f.line, "column": f.column},
                "end": {"line": f.end_line, "column": f.end_column},
            }
            issues.append(
                {
                    "check_name": f.code,
                    "description": f"{f.code}: {f.message}",
                    "severity": "major" if severity(f.code) == "error" else "minor",
                    "fingerprint": fingerprint,
                    "location": {"path": file.path, "positions": positions},
                }
            )
    yield json.dumps(issues, indent=2) + "\n"
