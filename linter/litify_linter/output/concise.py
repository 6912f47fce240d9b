"""One line a finding: `path:line:column: CODE message`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from litify_linter.output.style import paint, printable
from litify_linter.rule import Finding

if TYPE_CHECKING:
    from litify_linter.checked import Checked


def render(files: Sequence[Checked], colour: bool) -> Iterator[str]:
    """A line for each finding."""
    for file in files:
        for finding in file.findings:
            yield headline(file.path, finding, colour) + "\n"


def headline(path: str, finding: Finding, colour: bool) -> str:
    """`path:line:column: CODE message`, which editors and terminals make clickable; `[*]` for what `--fix` would fix."""
    colon = paint(":", "cyan", colour)
    cell = f"cell {finding.cell}{colon}" if finding.cell is not None else ""
    place = (
        f"{paint(printable(path), 'bold', colour)}{colon}{cell}{finding.line}{colon}{finding.column}{colon}"
    )
    mark = f" {paint('[*]', 'cyan', colour)}" if finding.fix is not None and finding.fix.safe else ""
    return f"{place} {paint(finding.code, 'red', colour)}{mark} {printable(finding.message)}"
