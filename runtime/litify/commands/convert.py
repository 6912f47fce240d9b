"""`litify convert`: options in, one call of the converter, files and a report out."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from litify.commands.verify import given_options, run_options, verdict_on
from litify.commands.whole_file import newline_of, write_whole

if TYPE_CHECKING:
    from litify_converter.convert import Conversion
    from litify_converter.refusals import Refusal

NOTEBOOK = ".ipynb"


@click.command()
@click.argument("file", metavar="FILE|DIR", type=click.Path(path_type=Path))
@click.argument("args", nargs=-1, metavar="[-- ARGS]...", type=click.UNPROCESSED)
@click.option(
    "-o", "--output", metavar="OUT", help="Where to write; `-` is standard output. [default: FILE_lit.py]"
)
@click.option("--in-place", is_flag=True, help="Write the result over FILE.")
@click.option("--diff", is_flag=True, help="Print what would change; write nothing.")
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing; exit 1 if FILE would be converted, 0 if there is nothing to do.",
)
@click.option("--force", is_flag=True, help="Overwrite an output file that convert did not write.")
@click.option("--target", type=click.Choice(["litify", "lightning"]), default="litify", show_default=True)
@click.option(
    "--style",
    type=click.Choice(["auto", "idiomatic", "verbatim"]),
    default="auto",
    show_default=True,
    help="auto: idiomatic wherever that is proven to train the same; idiomatic: refused where automatic optimization is "
    "not; verbatim: every statement in its order.",
)
@click.option("--report", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True)
@click.option(
    "--verify",
    "verify_",
    is_flag=True,
    help="Run both scripts afterwards, with ARGS, and compare every optimizer step.",
)
@run_options("With --verify. ")
@click.option(
    "--show", type=click.Choice(["regions", "plan"]), hidden=True, help="Print a stage's result and stop."
)
def convert(file: Path, args: tuple[str, ...], **options: Any) -> int:
    """Turn the raw PyTorch script or notebook FILE into a LightningModule, a DataModule and a Trainer call.

    The script is read, never run. Where a faithful conversion can't be had, nothing is written and the reason is
    printed. For a folder, every script and notebook in it that trains is converted.

    \b
    Examples:
      litify convert train.py                 # writes train_lit.py
      litify convert train.py --diff          # shows the change
      litify convert train.py -o - | less     # to standard output
      litify convert train.py --verify --steps 50 -- --epochs 1
                                              # and proves it: both scripts run, every step compared
      litify convert train.ipynb              # the cells as a script: train_lit.py
      litify convert train.ipynb -o lit.ipynb # and as a notebook
      litify convert examples/ --check        # a table of what converts and what does not, and why
    """
    kept = {name: options.pop(name) for name in tuple(options) if name in _Asked.__dataclass_fields__}
    asked = _Asked(file, args, **kept, run=given_options(options))
    _check(asked)
    return _convert_folder(asked) if file.is_dir() else _convert_file(asked)


@dataclass(frozen=True)
class _Asked:
    """The command line."""

    file: Path
    args: tuple[str, ...]  # for the scripts, when they are verified
    output: str | None
    in_place: bool
    diff: bool
    check: bool
    force: bool
    target: str
    style: str
    report: str
    verify_: bool
    show: str | None
    run: dict[str, Any]  # how they are verified

    @property
    def out(self) -> Path | None:
        """The file to write, None for standard output."""
        return None if self.output == "-" else _beside(self.file, self.output, self.in_place)

    @property
    def to_notebook(self) -> bool:
        return self.out is not None and self.out.suffix == NOTEBOOK


def _check(asked: _Asked) -> None:
    """What does not go together. Raises UsageError."""
    if asked.in_place and asked.output is not None:
        raise click.UsageError("--in-place and --output exclude each other")
    if not asked.verify_ and asked.args:
        raise click.UsageError(
            f"one FILE or DIR at a time; {asked.args[0]} is for the scripts that --verify runs: add --verify"
        )
    if not asked.verify_ and asked.run:
        raise click.UsageError(f"--{next(iter(asked.run))} is about --verify; add --verify")
    if asked.verify_ and (asked.in_place or asked.output == "-" or asked.diff or asked.check):
        raise click.UsageError(
            "--verify runs FILE and the file that is written: not with --in-place, --diff, --check or `-o -`"
        )
    if asked.verify_ and asked.report == "sarif":
        raise click.UsageError("--report sarif has no place for what --verify finds; use text or json")
    if asked.file.is_dir():
        if asked.output is not None or asked.verify_ or asked.show is not None or asked.diff:
            raise click.UsageError(f"{asked.file} is a folder: --output, --diff and --verify take one file")
    elif asked.to_notebook and asked.file.suffix != NOTEBOOK:
        raise click.UsageError("a notebook is made of a notebook only; name a .py file with -o")


def _convert_folder(asked: _Asked) -> int:
    from litify.commands.convert_folder import convert_folder

    taken: dict[Path, Path] = {}  # output -> the file that it was made of

    def write(source: Path, conversion: Conversion) -> Path | None:
        beside = _beside(source, None, asked.in_place)
        if beside in taken:
            raise click.UsageError(
                f"{beside} is the conversion of {taken[beside]} already; convert it alone, with -o"
            )
        text = text_of(conversion, beside.suffix == NOTEBOOK)
        if asked.check:
            return None
        write_whole(beside, text, asked.force or asked.in_place, newline_of(source))
        taken[beside] = source
        return beside

    return convert_folder(asked.file, asked.target, asked.style, asked.report, asked.in_place, write)


def _convert_file(asked: _Asked) -> int:
    from litify_converter.convert import convert as run
    from litify_converter.refusals import AlreadyConverted, NothingToConvert, Refusal, UnreadableScript
    from litify_converter.report import place

    file = asked.file
    try:
        conversion = run(file, asked.target, asked.style, asked.to_notebook)
        text = text_of(conversion, asked.to_notebook)
    except UnreadableScript as error:
        raise click.UsageError(f"{place(str(file), error.cell, error.line)}: {error}") from None
    except Refusal as refusal:
        _print_refusal(file, refusal, asked.report)
        nothing = isinstance(refusal, NothingToConvert | AlreadyConverted)
        return 0 if asked.check and nothing else 1
    if asked.show is not None:
        click.echo(str(conversion.nest) if asked.show == "regions" else conversion.plan_text())
        return 0
    if asked.check:
        click.echo(f"{file} would be converted", err=True)
        return 1
    if asked.diff:
        _print_diff(file, asked.out, conversion)
        return 0
    if asked.out is None:
        click.echo(text, nl=False)
        return 0
    write_whole(asked.out, text, asked.force or asked.in_place, newline_of(file))
    return _report(asked, conversion, asked.out)


def text_of(conversion: Conversion, to_notebook: bool) -> str:
    """What is written: Python, or a notebook. Raises Refusal where the cells fail their check."""
    if not to_notebook:
        return conversion.text
    from litify_converter.cells import as_notebook

    return as_notebook(conversion)


def _beside(file: Path, output: str | None, in_place: bool) -> Path:
    if in_place:
        return file
    return Path(output) if output is not None else file.with_name(f"{file.stem}_lit.py")


def _print_refusal(file: Path, refusal: Refusal, report: str) -> None:
    code, advice, line, cell = refusal.code, refusal.advice, refusal.line, refusal.cell
    if report == "json":
        import json

        where = {"line": line} if cell is None else {"cell": cell, "line": line}
        fields = {"file": str(file), **where, "code": code, "message": str(refusal), "advice": advice}
        click.echo(json.dumps({"converted": False, "refusal": fields}, indent=2))
        return
    from litify_converter.report import Point, as_sarif, place

    if report == "sarif":
        click.echo(as_sarif([Point(str(file), line, code, str(refusal), cell)]))
        return
    click.echo(f"{place(str(file), cell, line)}: {code} {refusal}", err=True)
    if advice:
        click.echo(f"  {advice}", err=True)


def _print_diff(file: Path, out: Path | None, conversion: Conversion) -> None:
    from litify_converter.read import read

    script = conversion.joined.text if conversion.joined is not None else read(file).text
    before = script.splitlines(keepends=True)
    after = conversion.text.splitlines(keepends=True)
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in difflib.unified_diff(before, after, str(file), str(out or file)):
        text = line if line.endswith("\n") else f"{line}\n"
        click.echo(click.style(text, fg=colours.get(line[:1])) if sys.stdout.isatty() else text, nl=False)


def _report(asked: _Asked, conversion: Conversion, out: Path) -> int:
    """Say what went where, and, if asked, whether it trains the same; the exit code."""
    from litify_converter.report import as_json, as_sarif, as_text, looks

    if asked.report == "text":
        click.echo(as_text(conversion, out))
    elif asked.report == "sarif":
        click.echo(as_sarif(looks(conversion)))
    verdict = verdict_on(str(asked.file), str(out), asked.args, asked.run) if asked.verify_ else None
    if asked.report == "json":
        click.echo(as_json(conversion, out, verdict.to_json() if verdict is not None else None))
    elif verdict is not None:
        click.echo(verdict.to_text())
    return int(verdict is not None and not verdict.ok)
