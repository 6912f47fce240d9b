"""Findings of earlier runs, kept by what they follow from: a file's bytes, the rules asked for, the linter itself."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from litify_linter.reading.digests import sibling_digest
from litify_linter.rule import Edit, Finding, Fix

# Entries are some 50 bytes where nothing was found; the oldest go first.
ENTRIES = 50_000


class Cache:
    """One file of findings in a cache folder; what cannot be read or written costs time, never an answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / f"{_fingerprint()}.json"
        self._known: dict[str, list[Any]] = _read(self._path)
        self._fresh: dict[str, list[Any]] = {}

    @staticmethod
    def key(data: bytes, codes: frozenset[str], path: str) -> str:
        """The name of an entry. With the path: base classes are looked up beside it, and its name says what is a test."""
        what = f"{_named(codes)} {os.path.abspath(path)}"
        return hashlib.blake2b(
            what.encode(errors="surrogateescape") + b"\0" + data, digest_size=16
        ).hexdigest()

    def get(self, key: str) -> tuple[Finding, ...] | None:
        """The findings of an earlier run, or None."""
        entry = self._known.get(key)
        if entry is None:
            return None
        consulted, rows = entry
        if any(sibling_digest(path) != digest for path, digest in consulted.items()):
            return None
        self._fresh[key] = entry
        return tuple(_finding(row) for row in rows)

    def put(self, key: str, findings: Iterable[Finding], consulted: Mapping[str, str | None]) -> None:
        """Remember findings and the other files they depend on; `save` writes them."""
        self._fresh[key] = [dict(consulted), [_row(finding) for finding in findings]]

    def save(self) -> None:
        """Write what is new, beside and then renamed, so that another run never reads half a file."""
        if all(self._known.get(key) == entry for key, entry in self._fresh.items()):
            return
        kept = {key: row for key, row in self._known.items() if key not in self._fresh}
        entries = {**dict(list(kept.items())[-ENTRIES:]), **self._fresh}
        with contextlib.suppress(OSError):  # a read-only folder: no cache then
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / ".gitignore").write_text("*\n")
            beside = self._path.with_suffix(f".{os.getpid()}")
            beside.write_text(json.dumps(entries, separators=(",", ":")), encoding="ascii")
            beside.replace(self._path)
            for stale in self._folder.glob("*.json"):
                if stale != self._path:
                    stale.unlink()


@functools.cache
def _named(codes: frozenset[str]) -> str:
    return " ".join(sorted(codes))


def _fingerprint() -> str:
    """Changes with every change to the linter and with the Python that parses."""
    folder = Path(__file__).parent
    digest = hashlib.blake2b(f"{sys.version_info[:3]}".encode(), digest_size=8)
    for place in (folder, folder / "rules", folder / "reading"):
        for entry in sorted(os.scandir(place), key=lambda e: e.name):
            if entry.name.endswith(".py"):
                status = entry.stat()
                digest.update(f"{entry.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, list[Any]]:
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _row(finding: Finding) -> list[Any]:
    fix = finding.fix
    edits = [[e.line, e.column, e.end_line, e.end_column, e.text] for e in fix.edits] if fix else []
    return [
        finding.code,
        finding.name,
        finding.message,
        finding.line,
        finding.column,
        finding.end_line,
        finding.end_column,
        [edits, fix.safe, fix.block] if fix else None,
        finding.cell,
    ]


def _finding(row: list[Any]) -> Finding:
    code, name, message, line, column, end_line, end_column, fixing, cell = row
    fix = None
    if fixing is not None:
        edits, safe, block = fixing
        fix = Fix(tuple(Edit(*edit) for edit in edits), safe, tuple(block) if block else None)
    return Finding(code, name, message, line, column, end_line, end_column, fix, cell)
