"""What .gitignore files exclude, by git's own rules: nested files, anchors, `**`, negation."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path

_GLOB = re.compile(r"[*?\[\\]")


@dataclass(frozen=True)
class Pattern:
    """One line of a .gitignore."""

    glob: str
    anchored: bool  # to the folder of the file
    negated: bool
    folders_only: bool

    @functools.cached_property
    def regex(self) -> re.Pattern[str]:
        """Matched against the path below the folder of the file, with "/" between parts."""
        return re.compile(("" if self.anchored else "(?:.*/)?") + _regex(self.glob))

    def matches(self, relative: str) -> bool:
        """Whether it fits a path below the folder of the file. Most lines are plain names: no regex is made of these."""
        if _GLOB.search(self.glob) is None:
            return (relative if self.anchored else relative.rpartition("/")[2]) == self.glob
        return self.regex.fullmatch(relative) is not None


@dataclass(frozen=True)
class GitIgnore:
    """The patterns that hold in a folder: its own .gitignore and those above it, up to the repository's root."""

    folder: str
    patterns: tuple[Pattern, ...]
    outer: GitIgnore | None

    def ignores(self, path: str, is_folder: bool) -> bool:
        """Whether git would ignore this path, in or below `folder`; the last pattern that matches decides."""
        start = self.folder.rstrip(os.sep) + os.sep
        below = path[len(start) :] if path.startswith(start) else os.path.relpath(path, self.folder)
        relative = below.replace(os.sep, "/")
        for pattern in reversed(self.patterns):
            if (is_folder or not pattern.folders_only) and pattern.matches(relative):
                return not pattern.negated
        return self.outer.ignores(path, is_folder) if self.outer is not None else False

    def enter(self, folder: str) -> GitIgnore:
        """The patterns for a folder below this one."""
        patterns = _read(os.path.join(folder, ".gitignore"))
        return GitIgnore(folder, patterns, self) if patterns else self


def gitignore_at(folder: Path) -> GitIgnore:
    """The patterns for a folder where a search starts; those of its parents count inside a git repository only."""
    absolute = folder.absolute()
    root = next((p for p in [absolute, *absolute.parents] if (p / ".git").exists()), None)
    if root is None:
        return GitIgnore(str(absolute), _read(str(absolute / ".gitignore")), None)
    between = [p for p in [absolute, *absolute.parents] if p.is_relative_to(root)][::-1]
    found: GitIgnore | None = GitIgnore(str(root), _read(str(root / ".git" / "info" / "exclude")), None)
    for parent in between:
        found = GitIgnore(str(parent), _read(str(parent / ".gitignore")), found)
    assert found is not None
    return found


def _read(path: str) -> tuple[Pattern, ...]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return ()  # no such file, as a rule; one that git cannot read either excludes nothing
    return tuple(p for p in map(parse, lines) if p is not None)


@functools.cache
def parse(line: str) -> Pattern | None:
    """The pattern of one line, None for blank lines, comments and patterns that git would not understand either."""
    text = re.sub(r"(?<!\\)\s+$", "", line)
    if not text or text.startswith("#"):
        return None
    negated = text.startswith("!")
    text = text[1:] if negated else text
    folders_only = text.endswith("/")
    text = text.removesuffix("/")
    anchored = "/" in text
    text = text.removeprefix("/")
    try:
        pattern = Pattern(text, anchored, negated, folders_only)
        if "[" in text:
            _ = pattern.regex
        return pattern
    except re.error:
        return None


def _regex(text: str) -> str:
    """A gitignore glob as a regular expression: `*` and `?` stay within a part, `**` spans parts."""
    tokens = {"**/": "(?:.*/)?", "/**": "/.*", "?": "[^/]"}
    # Between anything but slashes `**` means what `*` means.
    pieces = re.findall(r"(?<![^/])\*\*/|/\*\*$|\*+|\?|\[!?[^\]]+\]|\\.|.", text)
    parts = []
    for piece in pieces:
        if piece in tokens:
            parts.append(tokens[piece])
        elif piece.startswith("*"):
            parts.append("[^/]*")
        elif len(piece) > 1 and piece.startswith("["):
            parts.append("[^" + piece[2:] if piece.startswith("[!") else piece)
        else:
            parts.append(re.escape(piece.removeprefix("\\") or "\\"))
    return "".join(parts)
