"""`litify convert DIR`: every script of a folder that trains, and a table of what became of each."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from litify_converter.convert import Conversion

SHOWN = {"converted": "green", "refused": "yellow", "unreadable": "red"}


@dataclass(frozen=True)
class Outcome:
    """What became of one script: converted, refused (with a code and a reason) or unreadable."""

    file: str
    status: str
    output: str | None = None
    optimization: str | None = None
    line: int | None = None
    cell: int | None = None  # of a notebook; `line` counts from its first one then
    code: str | None = None
    message: str = ""
    effort: str = "none"


def convert_folder(
    folder: Path,
    target: str,
    style: str,
    report: str,
    in_place: bool,
    write: Callable[[Path, Conversion], Path | None],
) -> int:
    """Convert what trains below a folder, print the table; files that don't train are passed over.

    Args:
        report: "text", "json" or "sarif".
        in_place: notebooks become notebooks, rather than scripts.
        write: stores a result and returns its path; None where nothing is to be written.

    Returns:
        1 if a script that trains was refused, or a file can't be read; else 0.
    """
    files = list(_scripts(folder))
    outcomes = []
    for file in _with_progress(files):
        outcome = _convert(file, target, style, in_place, write)
        if outcome is not None:
            outcomes.append(outcome)
    if report == "json":
        click.echo(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))
    elif report == "sarif":
        from litify_converter.report import Point, as_sarif

        refused = [o for o in outcomes if o.status != "converted"]
        click.echo(as_sarif([Point(o.file, o.line, o.code or "LC001", o.message, o.cell) for o in refused]))
    else:
        _print_table(outcomes, len(files))
    return int(any(o.status != "converted" for o in outcomes))


def _with_progress(files: list[Path]) -> Iterator[Path]:
    """The files; on a terminal a bar shows how far it has come."""
    if not sys.stderr.isatty():
        yield from files
        return
    with click.progressbar(files, label="converting", file=sys.stderr) as bar:
        yield from bar


def _scripts(folder: Path) -> Iterator[Path]:
    """Python files and notebooks that may train, those that .gitignore names left out."""
    from litify_linter.config import Overrides, settings_lookup
    from litify_linter.files import Target, discover

    for found in discover([str(folder)], settings_lookup(Overrides())):
        if isinstance(found, Target) and found.path.endswith((".py", ".ipynb")):
            path = Path(found.path)
            try:
                wanted = b"torch" in path.read_bytes()
            except OSError:
                wanted = True  # the table says why it can't be read
            if wanted:
                yield path


def _convert(
    file: Path, target: str, style: str, in_place: bool, write: Callable[[Path, Conversion], Path | None]
) -> Outcome | None:
    from litify_converter.convert import convert
    from litify_converter.refusals import (
        AlreadyConverted,
        ConversionError,
        NothingToConvert,
        UnreadableScript,
    )
    from litify_converter.report import effort, optimization

    try:
        to_notebook = in_place and file.suffix == ".ipynb"
        conversion = convert(file, target, style, to_notebook)
        out = write(file, conversion)
    except (NothingToConvert, AlreadyConverted):
        return None
    except ConversionError as error:
        unreadable = isinstance(error, UnreadableScript)
        return Outcome(
            str(file),
            "unreadable" if unreadable else "refused",
            line=error.line,
            cell=error.cell,
            code=error.code,
            message=str(error),
            effort=error.effort,
        )
    except click.UsageError as error:  # the output exists and is somebody's own
        return Outcome(str(file), "refused", code="LC002", message=error.message, effort="minutes")
    modes = {optimization(plan) for plan in (*conversion.earlier, conversion.plan)}
    return Outcome(
        str(file),
        "converted",
        output=str(out) if out else None,
        optimization=" and ".join(sorted(modes)),
        effort=effort(conversion),
    )


def _print_table(outcomes: list[Outcome], seen: int) -> None:
    from litify_converter.report import place

    width = max((len(o.file) for o in outcomes), default=0)
    for one in outcomes:
        status = (
            click.style(f"{one.status:<10}", fg=SHOWN[one.status])
            if sys.stdout.isatty()
            else f"{one.status:<10}"
        )
        code = place(one.code or "", one.cell, one.line)
        what = f"{one.optimization} optimization" if one.code is None else f"{code} {one.message}"
        click.echo(f"{one.file:<{width}}  {status}  {one.effort:<7}  {what}")
    count = Counter(o.status for o in outcomes)
    parts = [f"{count[status]} {status}" for status in SHOWN if count[status]]
    click.echo(
        f"{seen} files with torch, {len(outcomes)} that train: {', '.join(parts) or 'nothing to convert'}"
    )
