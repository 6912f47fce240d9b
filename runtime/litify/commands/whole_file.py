"""Files that `litify convert` writes: whole or not at all, and never over somebody's own work."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click


def write_whole(out: Path, text: str, force: bool, newline: str) -> None:
    """Write beside, then rename: there is never half a file.

    Raises:
        UsageError: the file can't be written, or it exists, `force` is not given, and convert did not write it.
    """
    if out.is_dir():
        raise click.UsageError(f"cannot write {out}: it is a folder")
    if out.exists() and not out.is_file():  # /dev/null, a pipe: to rename a file over it would be its end
        out.write_text(text, encoding="utf-8", errors="surrogatepass", newline=newline)
        return
    if out.exists() and not force and not _is_ours(out):
        raise click.UsageError(f"{out} exists and was not written by convert; use --force to overwrite it")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent or ".")
    except OSError as error:
        raise click.UsageError(f"cannot write {out}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass", newline=newline) as stream:
            stream.write(text)
        mode = out.stat().st_mode if out.exists() else 0o666 & ~_umask()
        os.chmod(name, mode)
        os.replace(name, out)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise click.UsageError(f"cannot write {out}: {error.strerror}") from None


def newline_of(file: Path) -> str:
    """How a file's first line ends, so that its conversion does too."""
    with file.open("rb") as stream:
        return "\r\n" if stream.readline().endswith(b"\r\n") else "\n"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _is_ours(path: Path) -> bool:
    """Whether a file holds a LightningModule already, as everything that convert writes does."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "(LightningModule):" in text and ("from litify import" in text or "from lightning import" in text)
