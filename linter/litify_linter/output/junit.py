"""JUnit XML: a test suite per file, a failure per finding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

if TYPE_CHECKING:
    from litify_linter.checked import Checked


def render(files: Sequence[Checked], colour: bool) -> Iterator[str]:
    """The whole document; a run without findings is one test that passed."""
    total = sum(len(file.findings) for file in files)
    yield '<?xml version="1.0" encoding="utf-8"?>\n'
    yield f'<testsuites name="litify" tests="{max(total, 1)}" failures="{total}" errors="0">\n'
    for file in files:
        if not file.findings:
            continue
        count = len(file.findings)
        yield f'  <testsuite name={_attribute(file.path)} tests="{count}" failures="{count}" errors="0">\n'
        for f in file.findings:
            where = f"line {f.line}, column {f.column}, {f.message}"
            yield f'    <testcase name="{f.code}" classname={_attribute(file.path)} line="{f.line}" column="{f.column}">\n'
            yield f"      <failure message={_attribute(f.message)}>{_text(where)}</failure>\n"
            yield "    </testcase>\n"
        yield "  </testsuite>\n"
    if not total:
        yield '  <testsuite name="litify" tests="1" failures="0" errors="0">\n'
        yield '    <testcase name="No findings" classname="litify"/>\n  </testsuite>\n'
    yield "</testsuites>\n"


def _attribute(text: str) -> str:
    return quoteattr(_allowed(text))


def _text(text: str) -> str:
    return _allowed(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _allowed(text: str) -> str:
    """XML 1.0 has no way to write most control characters, nor lone surrogates."""
    return "".join(c if c.isprintable() or c in "\t\n" else "\ufffd" for c in text)
