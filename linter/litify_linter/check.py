"""A file's whole way: read > one walk for all rules > minus suppressed -> findings."""

from __future__ import annotations

import ast
import contextlib
import gc
import re
from collections.abc import Iterator

from litify_linter.checked import Checked as Checked
from litify_linter.checked import is_worth_parsing, shown_lines
from litify_linter.config import Settings
from litify_linter.noqa import Suppression, remaining, suppressions
from litify_linter.reading.file import File
from litify_linter.reading.siblings import Siblings
from litify_linter.reading.source import Source, UnreadableSource, confirm, decode, parse, split_lines
from litify_linter.rule import Finding, Rule
from litify_linter.rules import catalogue, chosen_rules
from litify_linter.rules.unused_suppression import BLANKET, UnusedSuppression

# A class with one of these may inherit from a LightningModule of another file, and not speak of Lightning itself.
_HOOK = re.compile(
    r"^[ \t]+def (?:(?:training|validation|test|predict)_step|configure_optimizers|prepare_data|"
    r"(?:train|val|test)_dataloader)\b",
    re.MULTILINE,
)


def check_file(path: str, settings: Settings, named: bool = False) -> Checked:
    """Lint a file on disk. Raises OSError where it cannot be read."""
    with open(path, "rb") as file:
        data = file.read()
    return check_source(data, path, settings, named)


def check_source(data: bytes, path: str, settings: Settings, named: bool = True) -> Checked:
    """Lint the bytes of a file. Unless it was named, a file that does not speak of torch is not even parsed."""
    if not named and not is_worth_parsing(data):
        return Checked(path)
    with _collector_paused():
        return _check(data, path, settings)


def _check(data: bytes, path: str, settings: Settings) -> Checked:
    codes = settings.codes_for(path)
    if path.endswith(".ipynb"):
        return _check_notebook(data, path, codes)
    beside = Siblings(path)
    try:
        source = _read(data, codes)
        findings = lint(source, codes, beside)
    except UnreadableSource as error:
        return Checked(path, _unreadable(error, codes), shown_lines(data))
    lines = tuple(source.lines) if findings else ()
    return Checked(path, tuple(findings), lines, consulted=beside.consulted)


def _read(data: bytes, codes: frozenset[str]) -> Source:
    """The file; with an empty tree where no rule will look at it. Raises UnreadableSource."""
    text = decode(data)
    if _speaks_of_lightning(text) or _HOOK.search(text) is not None or _rules_for(text, codes, False):
        return Source(text, parse(text), split_lines(text))
    confirm(text)
    return Source(text, ast.Module([], []), split_lines(text))


def _unreadable(error: UnreadableSource, codes: frozenset[str]) -> tuple[Finding, ...]:
    if error.code not in codes:
        return ()
    name = "syntax-error" if error.code == "E901" else "unreadable-file"
    place = (error.line, error.column, error.line, error.column + 1)
    return (Finding(error.code, name, error.message, *place),)


def _check_notebook(data: bytes, path: str, codes: frozenset[str]) -> Checked:
    # Few projects have notebooks among their scripts.
    from litify_linter.notebook import in_cells, read_notebook

    try:
        notebook = read_notebook(data)
    except UnreadableSource as error:
        return Checked(path, _unreadable(error, codes))
    text = notebook.text
    try:
        findings = tuple(lint(Source(text, parse(text), split_lines(text)), codes, Siblings(path)))
    except UnreadableSource as error:
        findings = _unreadable(error, codes)
    starts = {cell.number: start for cell, start in zip(notebook.cells, notebook.starts, strict=True)}
    return Checked(path, in_cells(findings, notebook), tuple(split_lines(text)), starts)


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


def lint(source: Source, codes: frozenset[str], beside: Siblings | None = None) -> list[Finding]:
    """Findings of the rules with these codes on a parsed file, suppressed ones taken away, in order of position.

    `beside` reads the files that base classes are imported from; without it only this file counts. Raises
    UnreadableSource where an expression is nested more deeply than Python recurses.
    """
    try:
        return _lint(source, codes, beside)
    except RecursionError:
        raise UnreadableSource("E901", "nested too deeply to be looked at") from None


def _lint(source: Source, codes: frozenset[str], beside: Siblings | None) -> list[Finding]:
    text, file = source.text, None
    lightning = _speaks_of_lightning(text)
    if not lightning and beside is not None and _HOOK.search(text) is not None:
        file = File(source, beside)
        lightning = bool(file.lightning)
    rules = _rules_for(text, codes, lightning)
    file = (file or File(source, beside)) if rules else None
    found = _found(rules, file) if file is not None else []
    comments = suppressions(source.text, bool(found))
    kept = remaining(found, comments)
    if UnusedSuppression.code in codes:
        kept += _unused(comments, codes, source)
    return sorted(set(kept), key=lambda finding: finding.order)


def _speaks_of_lightning(text: str) -> bool:
    return any(word in text for word in Rule.words)


def _rules_for(text: str, codes: frozenset[str], lightning: bool) -> list[Rule]:
    """The rules that may find something in a text."""
    return [
        rule
        for rule in chosen_rules(codes, lightning)
        if (rule.words is Rule.words or any(word in text for word in rule.words)) and rule.wants(text)
    ]


def _found(rules: list[Rule], file: File) -> list[Finding]:
    """What the rules find, outside of what is meant to fail."""
    found = [finding for rule in rules for finding in _apply(rule, file)]
    if not found or not file.meant_to_fail:
        return found
    return [f for f in found if not any(first <= f.line <= last for first, last in file.meant_to_fail)]


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


def _unused(comments: list[Suppression], codes: frozenset[str], source: Source) -> Iterator[Finding]:
    """A finding for each code that silences nothing, and, where all rules ran, for each comment of ours without codes
    that silences nothing; that one does not silence the finding about itself."""
    every = catalogue()
    known = {word for code in codes & every.keys() for word in (code, every[code].name)}
    known -= {UnusedSuppression.code}
    for comment in comments:
        line = source.lines[comment.line - 1]
        place = (comment.line, comment.column)
        by_code = [
            UnusedSuppression.for_comment(*place, code, comment.without(code, line))
            for code in comment.unused(known)
        ]
        yield from remaining(by_code, comments)
        if comment.is_idle and codes >= every.keys():
            yield UnusedSuppression.for_comment(*place, BLANKET, comment.without(BLANKET, line))
