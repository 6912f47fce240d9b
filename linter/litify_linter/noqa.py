"""Suppression comments: `# noqa`, `# noqa: LIT101`, `# litify: ignore[LIT101]`; for a file `# litify: noqa`."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from litify_linter.rule import Edit, Finding, Fix

_MENTION = re.compile(r"#[^\n]*(?:noqa|litify\s*:)[^\n]*", re.IGNORECASE)
# Most files have no such comment: these are compiled, by `re` itself, when the first one comes.
# A code of ours, or a word of the form of a rule's name.
_OURS = r"(?i)(?:noqa\s*:|ignore\s*\[)[^#]*?(?:\blit[0-9]|\b[a-z]+-[a-z])|litify\s*:"
_CODE = r"[A-Za-z]{1,6}[0-9]+|[a-z]+(?:-[a-z]+)+"
_CODES = rf"(?P<codes>(?:{_CODE})(?:[,\s]+(?:{_CODE}))*)"
_FILE = rf"(?i)#\s*(?:litify|flake8)\s*:\s*noqa(?P<colon>\s*:\s*)?(?:(?<=[:\s]){_CODES})?"
_LINE = rf"(?i)#\s*noqa(?P<colon>\s*:\s*)?(?:(?<=[:\s]){_CODES})?"
_IGNORE = rf"(?i)#\s*litify\s*:\s*ignore(?:\[\s*{_CODES}\s*\])?"


@dataclass
class Suppression:
    """One comment that silences findings; `codes` None means all. `used` collects what it silenced."""

    line: int
    column: int
    codes: tuple[str, ...] | None
    whole_file: bool = False
    target: int = 0  # the line it speaks of
    text: str = ""  # the comment's part that is the suppression, from `column` on
    rest: str = ""  # what the comment says behind it
    used: set[str] = field(default_factory=set)

    def covers(self, finding: Finding) -> bool:
        """Whether the finding is silenced; marks the code as used."""
        if not self.whole_file and not finding.line <= self.target <= finding.end_line:
            return False
        if self.codes is None:
            self.used.add(finding.code)
            return True
        hits = {c for c in self.codes if finding.code.startswith(c.upper()) or c.lower() == finding.name}
        self.used |= hits
        return bool(hits)

    def unused(self, known: Collection[str]) -> list[str]:
        """Its codes among `known` (rules that ran) that silenced nothing."""
        return [
            c for c in self.codes or () if c not in self.used and (c.upper() in known or c.lower() in known)
        ]

    @property
    def is_idle(self) -> bool:
        """Whether it is a comment for this linter alone that names no codes, and silenced nothing."""
        return self.codes is None and not self.used and "litify" in self.text.lower()

    def without(self, code: str, line: str) -> Fix:
        """Takes a code out of the comment; with its last code goes the comment, with the comment a line of its own."""
        end = self.column + len(self.text)
        others = [c for c in self.codes or () if c != code]
        start, text = self.column, ""
        if others:
            head = self.text[: self.text.index((self.codes or ())[0])]
            text = head + ", ".join(others) + ("]" if self.text.endswith("]") else "")
        elif self.rest.strip() and not self.rest.lstrip().startswith("#"):
            text = "#"
        elif self.rest.strip():
            end += len(self.rest) - len(self.rest.lstrip())
        else:
            start, end = len(line[: self.column - 1].rstrip()) + 1, len(line) + 1
        if start == 1 and not text and end > len(line):
            return Fix((Edit(self.line, 1, self.line + 1, 1, ""),), True)
        return Fix((Edit(self.line, start, self.line, end, text),), True)


def suppressions(text: str, needed: bool = True) -> list[Suppression]:
    """The suppression comments of a file, in order. Costs one search where there are none.

    Where nothing was found that they could silence, `needed` is False: then only those count that name a rule of ours,
    since they may be unused, and a file without such a one is not tokenized.
    """
    mentions = (match[0] for match in _MENTION.finditer(text))
    if not any(needed or _names_a_rule(mention) for mention in mentions):
        return []
    found = []
    waiting: list[Suppression] = []  # `ignore` comments on lines of their own speak of the next line of code
    for token in _tokens(text):
        if token.type == tokenize.COMMENT:
            suppression = _parse(token)
            if suppression is not None:
                found.append(suppression)
                if not suppression.whole_file and _alone(token) and re.search(_IGNORE, token.string):
                    waiting.append(suppression)
        elif waiting and token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            for suppression in waiting:
                suppression.target = token.start[0]
            waiting = []
    return found


def _names_a_rule(comment: str) -> bool:
    return re.search(_OURS, comment) is not None


def _parse(token: tokenize.TokenInfo) -> Suppression | None:
    line, column = token.start
    for pattern in (_FILE, _IGNORE, _LINE):
        match = re.search(pattern, token.string)
        if match is None:
            continue
        text = match["codes"]
        if text is None and pattern is not _IGNORE and match["colon"]:
            return None  # a colon without codes behind it is a slip, and silences nothing
        codes = tuple(re.split(r"[,\s]+", text)) if text else None
        whole_file = pattern is _FILE
        if whole_file and not _alone(token):
            return None
        rest = token.string[match.end() :]
        start = column + match.start() + 1
        return Suppression(line, start, codes, whole_file, line, match[0], rest)
    return None


def _alone(token: tokenize.TokenInfo) -> bool:
    return not token.line[: token.start[1]].strip()


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    try:
        yield from tokenize.generate_tokens(io.StringIO(text).readline)
    except (tokenize.TokenError, SyntaxError):
        # The parser took the file, only the stricter tokenizer stops here: what it gave until then counts.
        return


def remaining(findings: Iterable[Finding], comments: list[Suppression]) -> list[Finding]:
    """The findings that no comment silences."""
    if not comments:
        return list(findings)
    kept = []
    for finding in findings:
        # Every comment sees every finding, so that each learns whether it is of use.
        covering = [comment for comment in comments if comment.covers(finding)]
        if not covering:
            kept.append(finding)
    return kept
