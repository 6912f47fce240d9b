"""Settings: `[tool.litify.lint]` of the nearest pyproject.toml, and what the command line says on top."""

from __future__ import annotations

import fnmatch
import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from litify_linter.rules import catalogue

ERROR_CODES = frozenset({"E901", "E902"})
DEFAULT_EXCLUDE = (
    ".bzr",
    ".direnv",
    ".eggs",
    ".git",
    ".hg",
    ".ipynb_checkpoints",
    ".litify_cache",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    ".vscode",
    "__pycache__",
    "__pypackages__",
    "_build",
    "build",
    "dist",
    "lightning_logs",
    "node_modules",
    "site-packages",
    "venv",
)
LIST_KEYS = ("select", "extend-select", "ignore", "extend-ignore", "exclude", "extend-exclude")
KEYS = (*LIST_KEYS, "per-file-ignores")


class ConfigError(ValueError):
    """A setting that cannot be followed; the text says where it stands and what to write instead."""


@dataclass(frozen=True)
class Settings:
    """What is asked of the linter for the files of one project."""

    codes: frozenset[str] = field(default_factory=lambda: default_codes())
    per_file_ignores: tuple[tuple[str, frozenset[str]], ...] = ()  # glob pattern, codes
    exclude: tuple[str, ...] = DEFAULT_EXCLUDE
    root: Path | None = None  # the folder that patterns are relative to; None: the current one

    def codes_for(self, path: str) -> frozenset[str]:
        """The rules to run on one file."""
        if not self.per_file_ignores:
            return self.codes
        absolute = os.path.abspath(path)
        ignored = [
            codes for pattern, codes in self.per_file_ignores if self._regex((pattern,)).match(absolute)
        ]
        return self.codes.difference(*ignored)

    def excludes(self, absolute: str) -> bool:
        """Whether a pattern names this file or folder (an absolute path) itself."""
        plain, patterns = _split_patterns(self.exclude)
        return os.path.basename(absolute) in plain or (
            bool(patterns) and self._regex(patterns).match(absolute) is not None
        )

    def excludes_within(self, absolute: str) -> bool:
        """Whether a pattern names this path or a folder above it, inside the project."""
        root = self._root()
        below = os.path.relpath(absolute, root).split(os.sep) if absolute.startswith(root) else [absolute]
        return any(self.excludes(os.path.join(root, *below[: n + 1])) for n in range(len(below)))

    def _root(self) -> str:
        return str(self.root) if self.root is not None else os.getcwd()

    def _regex(self, patterns: tuple[str, ...]) -> re.Pattern[str]:
        return _path_regex(patterns, self._root())


@functools.cache
def _split_patterns(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Plain names, which are looked up, and patterns, of which a regular expression is made: that takes longer than linting a file."""
    names = [pattern.rstrip("/") for pattern in patterns]
    plain = frozenset(name for name in names if not set(name) & set("*?[/"))
    return plain, tuple(pattern for name, pattern in zip(names, patterns, strict=True) if name not in plain)


@functools.cache
def _path_regex(patterns: tuple[str, ...], root: str) -> re.Pattern[str]:
    """Matches absolute paths whose last part, or whose part below `root`, fits one of the glob patterns."""
    parts = []
    for pattern in patterns:
        text = fnmatch.translate(pattern.rstrip("/"))
        parts += [rf"(?:.*/)?{text}"] if "/" not in pattern.rstrip("/") else []
        parts.append(re.escape(root.rstrip("/") + "/") + text)
    return re.compile("|".join(parts) or r"(?!)")


def default_codes() -> frozenset[str]:
    """What runs if nobody says otherwise: every rule, and the errors."""
    return frozenset(catalogue()) | ERROR_CODES


@dataclass(frozen=True)
class Overrides:
    """What the command line says: selectors as written, None where an option is absent."""

    select: tuple[str, ...] | None = None
    extend_select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def settings_lookup(
    overrides: Overrides = Overrides(), config: Path | None = None, isolated: bool = False
) -> Callable[[Path], Settings]:
    """A function folder -> Settings for the files in it, which reads each pyproject.toml once.

    Raises ConfigError, here or later from the function, for a file or selector that makes no sense.
    """
    if isolated or config is not None:
        read = read_settings(config) if config is not None else Settings()
        fixed = apply_overrides(read, overrides)
        return lambda folder: fixed

    @functools.cache
    def nearest(folder: Path) -> Settings:
        candidate = folder / "pyproject.toml"
        table = _table(candidate) if candidate.is_file() else None
        if table is not None:
            return apply_overrides(_settings_from(table, candidate), overrides)
        return nearest(folder.parent) if folder.parent != folder else apply_overrides(Settings(), overrides)

    return lambda folder: nearest(folder.absolute())


def apply_overrides(settings: Settings, overrides: Overrides) -> Settings:
    """Settings with the command line's word on top."""
    where = "on the command line"
    codes = settings.codes if overrides.select is None else ERROR_CODES
    codes = choose(codes, (*(overrides.select or ()), *overrides.extend_select), overrides.ignore, where)
    return replace(settings, codes=codes, exclude=(*settings.exclude, *overrides.exclude))


def read_settings(path: Path) -> Settings:
    """The settings in a pyproject.toml. Raises ConfigError."""
    return _settings_from(_table(path) or {}, path)


def _settings_from(table: Mapping[str, Any], path: Path) -> Settings:
    for key in table:
        if key not in KEYS:
            close = _close(key, KEYS, 1)
            advice = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(KEYS)}"
            raise ConfigError(f"{path}: unknown key {key!r} in [tool.litify.lint]; {advice}")
    lists = {key: _strings(table, key, path) for key in LIST_KEYS}
    codes = ERROR_CODES if "select" in table else default_codes()
    codes = choose(
        codes,
        [*lists["select"], *lists["extend-select"]],
        [*lists["ignore"], *lists["extend-ignore"]],
        f"in {path}",
    )
    exclude = (*(lists["exclude"] if "exclude" in table else DEFAULT_EXCLUDE), *lists["extend-exclude"])
    return Settings(codes, _per_file_ignores(table, path), exclude, path.absolute().parent)


def choose(codes: frozenset[str], select: Iterable[str], ignore: Iterable[str], where: str) -> frozenset[str]:
    """`codes` with `select` added and `ignore` taken away; of two that speak of a rule the longer one wins."""
    chosen = set(codes)
    said = [(selector, False) for selector in ignore] + [(selector, True) for selector in select]
    # Short selectors first: the more specific word comes last. At equal length `ignore` does.
    for selector, wanted in sorted(said, key=lambda item: (_weight(item[0]), not item[1])):
        matched = matching_codes(selector, where)
        chosen = chosen | matched if wanted else chosen - matched
    return frozenset(chosen)


def matching_codes(selector: str, where: str = "") -> frozenset[str]:
    """Codes that a selector names: "LIT101", a prefix ("LIT1"), a rule's name, or "ALL". Raises ConfigError."""
    code = _code(selector)
    if code is not None:
        return frozenset({code})
    known = list(catalogue())
    if selector.upper() == "ALL":
        return frozenset(known)
    matched = frozenset(
        code for code in [*known, *ERROR_CODES] if selector and code.startswith(selector.upper())
    )
    if not matched:
        close = _close(selector.upper(), known, 1)
        close = close or _close(selector.lower(), [entry.name for entry in catalogue().values()], 1)
        advice = f"did you mean {close[0]}?" if close else "rules look like LIT101 or LIT1 (a family)"
        raise ConfigError(f"unknown rule {selector!r} {where}; {advice}".replace(" ;", ";"))
    return matched


def _close(word: str, known: Iterable[str], count: int) -> list[str]:
    import difflib  # for people who mistyped something

    return difflib.get_close_matches(word, list(known), count)


def _weight(selector: str) -> int:
    """How specific a selector is: a rule's name counts as its code does."""
    if selector.upper() == "ALL":
        return 0
    return len(_code(selector) or selector)


def _code(word: str) -> str | None:
    """The code of the rule with this code or name, in whatever case, or None."""
    for code, entry in catalogue().items():
        if word.upper() == code or word.lower() == entry.name:
            return code
    return None


def _table(path: Path) -> Mapping[str, Any] | None:
    """`[tool.litify.lint]` of a file, None where it has none. Raises ConfigError for what is no TOML."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    table: Any = document
    for key in ("tool", "litify", "lint"):
        if not isinstance(table, dict) or key not in table:
            return None
        table = table[key]
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: [tool.litify.lint] must be a table")
    return table


def _strings(table: Mapping[str, Any], key: str, path: Path) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(
            f'{path}: {key} in [tool.litify.lint] must be a list of strings, as in {key} = ["LIT101"]'
        )
    return value


def _per_file_ignores(table: Mapping[str, Any], path: Path) -> tuple[tuple[str, frozenset[str]], ...]:
    ignores = table.get("per-file-ignores", {})
    if not isinstance(ignores, dict):
        raise ConfigError(f'{path}: per-file-ignores must be a table, as in "tests/*" = ["LIT901"]')
    found = []
    for pattern in ignores:
        selectors = _strings(ignores, pattern, path)
        codes: frozenset[str] = frozenset().union(*(matching_codes(s, f"in {path}") for s in selectors))
        found.append((pattern, codes))
    return tuple(found)
