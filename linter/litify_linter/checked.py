"""What a check gives, and what is asked of a file before one: all that a run from the cache needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from litify_linter.reading.source import UnreadableSource, decode, split_lines
from litify_linter.rule import Finding

MENTIONS = (b"torch", b"lightning", b"litify")


@dataclass(frozen=True, slots=True)
class Checked:
    """One file and its findings, in order of position."""

    path: str
    findings: tuple[Finding, ...] = ()
    lines: tuple[str, ...] = ()  # the text, for findings to be shown in; empty where there are none
    # Of a notebook: cell -> lines of the text before it.
    starts: Mapping[int, int] = field(default_factory=dict)
    # Other files that the findings depend on: path -> digest of the content, None where there is none.
    consulted: Mapping[str, str | None] = field(default_factory=dict)

    def line_of(self, finding: Finding) -> int:
        """The line of `lines` in which a finding begins, from 1."""
        return finding.line + self.starts.get(finding.cell or 0, 0)


def is_worth_parsing(data: bytes) -> bool:
    """Whether a file speaks of torch or Lightning at all."""
    return any(word in data for word in MENTIONS)


def shown_lines(data: bytes) -> tuple[str, ...]:
    """The lines of a file, for findings to be shown in; what is no text in them as marks."""
    try:
        text = decode(data)
    except UnreadableSource:
        text = data.decode("utf-8", errors="replace")
    return tuple(split_lines(text))
