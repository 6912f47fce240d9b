"""What a file beside another held when it was read: two digests are compared to see whether it changed."""

from __future__ import annotations

import hashlib
import os

# Longer files are data or generated; whoever inherits from there can say so in the settings.
LARGEST = 1_000_000


def sibling_digest(path: str) -> str | None:
    """What `Siblings.consulted` has for a path now, at the cost of reading it."""
    try:
        if os.stat(path).st_size > LARGEST:
            return None
        return digest_of(read_bytes(path))
    except (OSError, ValueError):
        return None


def read_bytes(path: str) -> bytes:
    """The content of a file."""
    with open(path, "rb") as file:
        return file.read()


def digest_of(data: bytes) -> str:
    """A short digest of a content."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
