"""A file's whole way: read > one walk for all rules > minus suppressed -> findings."""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Iterator
from dataclasses import dataclass

from litify_linter.config import Settings
from litify_linter.noqa import Suppression, remaining, suppressions
from litify_linter.reading.file import File
from litify_linter.reading.source import Source, UnreadableSource, read_source
from litify_linter.rule import Finding, Rule
from litify_linter.rules import all_rules
from litify_linter.rules.unused_suppression import UnusedSuppression

MENTIONS = (b"torch", b"lightning", b"litify")


@dataclass(frozen=True, slots=True)
class Checked:
    """One file and its findings, in order of position."""

    path: str
    findings: tuple[Finding, ...] = ()
    lines: tuple[str, ...] = ()  # the text, for findings to be shown in; empty where there are none


def check_file(path: str, settings: Settings, named: bool = False) -> Checked:
    """Lint a file on disk. Raises OSError where it cannot be read."""
    with open(path, "rb") as file:
        data = file.read()
    return check_source(data, path, settings, named)


def check_source(data: bytes, path: str, settings: Settings, named: bool = True) -> Checked:
    """Lint the bytes of a file. Unless it was named, a file that does not speak of torch is not even parsed."""
    if not named and not any(word in data for word in MENTIONS):
        return Checked(path)
    with _collector_paused():
        return _check(data, path, settings)


def _check(data: bytes, path: str, settings: Settings) -> Checked:
    codes = settings.codes_for(path)
    try:
        source = read_source(data)
    except UnreadableSource as error:
        if error.code not in codes:
            return Checked(path)
        name = "syntax-error" if error.code == "E901" else "unreadable-file"
        place = (error.line, error.column, error.line, error.column + 1)
        lines = data.decode("utf-8", errors="replace").splitlines()
        return Checked(path, (Finding(error.code, name, error.message, *place),), tuple(lines))
    findings = lint(source, codes)
    return Checked(path, tuple(findings), tuple(source.lines) if findings else ())


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """A tree is made of a great many objects, none of them garbage: the collector's looking takes half of the parse."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def lint(source: Source, codes: frozenset[str]) -> list[Finding]:
    """Findings of the rules with these codes on a parsed file, suppressed ones taken away, in order of position."""
    rules = [rule for rule in _rules(codes) if any(word in source.text for word in rule.words)]
    file = File(source) if rules else None
    found = [finding for rule in rules for finding in _apply(rule, file)] if file is not None else []
    comments = suppressions(source.text)
    kept = remaining(found, comments)
    if UnusedSuppression.code in codes:
        kept += remaining(_unused(comments, codes), comments)
    return sorted(set(kept), key=lambda finding: finding.order)


def _apply(rule: Rule, file: File) -> Iterator[Finding]:
    if rule.hooks is not None:
        nodes = file.in_hooks
        for kind in rule.visits:
            for node, place in nodes.get(kind, ()):
                if rule.sees(place):
                    yield from rule.check(node, place)
    elif not rule.lightning_only or file.uses_lightning:
        for kind in rule.visits:
            for node, place in file.nodes.get(kind, ()):
                yield from rule.check(node, place)


def _unused(comments: list[Suppression], codes: frozenset[str]) -> list[Finding]:
    known = {word for rule in _rules(codes) for word in (rule.code, rule.name)} - {UnusedSuppression.code}
    return [
        UnusedSuppression.for_comment(comment.line, comment.column, code)
        for comment in comments
        for code in comment.unused(known)
    ]


@functools.cache
def _rules(codes: frozenset[str]) -> tuple[Rule, ...]:
    return tuple(rule for rule in all_rules() if rule.code in codes)
