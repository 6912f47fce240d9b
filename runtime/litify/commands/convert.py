"""`litify convert`: options in, one call of the converter, files and a report out."""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from litify_converter.convert import Conversion

MARK = "litify"  # a file that convert wrote says so in its first lines


@click.command()
@click.argument("file", metavar="FILE|DIR", type=click.Path(path_type=Path))
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
    "--verify", "verify_", is_flag=True, help="Run both scripts afterwards and compare every optimizer step."
)
@click.option(
    "--show", type=click.Choice(["regions", "plan"]), hidden=True, help="Print a stage's result and stop."
)
def convert(
    file: Path,
    output: str | None,
    in_place: bool,
    diff: bool,
    check: bool,
    force: bool,
    target: str,
    style: str,
    report: str,
    verify_: bool,
    show: str | None,
) -> int:
    """Turn the raw PyTorch script FILE into a LightningModule, a DataModule and a Trainer call.

    The script is read, never run. Where a faithful conversion can't be had, nothing is written and the reason is
    printed. For a folder, every script in it that trains is converted.

    \b
    Examples:
      litify convert train.py                 # writes train_lit.py
      litify convert train.py --diff          # shows the change
      litify convert train.py -o - | less     # to standard output
      litify convert train.py --verify        # and proves it: both scripts run, every step compared
      litify convert examples/ --check        # a table of what converts and what does not, and why
    """
    from litify_converter.convert import convert as run
    from litify_converter.refusals import AlreadyConverted, NothingToConvert, Refusal, UnreadableScript

    if file.is_dir():
        if output is not None or verify_ or show is not None or diff:
            raise click.UsageError(f"{file} is a folder: --output, --diff and --verify take one file")
        from litify.commands.convert_folder import convert_folder

        def write(source: Path, conversion: Conversion) -> Path | None:
            if check:
                return None
            beside = _output_path(source, None, in_place)
            assert beside is not None
            _write(beside, conversion.text, force or in_place, _newline(source))
            return beside

        return convert_folder(file, target, style, report, write)
    out = _output_path(file, output, in_place)
    try:
        conversion = run(file, target=target, style=style)
    except UnreadableScript as error:
        raise click.UsageError(_place(file, error.line, str(error))) from None
    except Refusal as refusal:
        _print_refusal(file, refusal, report)
        nothing = isinstance(refusal, NothingToConvert | AlreadyConverted)
        return 0 if check and nothing else 1
    if show is not None:
        click.echo(str(conversion.nest) if show == "regions" else conversion.plan_text())
        return 0
    if check:
        click.echo(f"{file} would be converted", err=True)
        return 1
    if diff:
        _print_diff(file, out, conversion)
        return 0
    if out is None:
        click.echo(conversion.text, nl=False)
        return 0
    _write(out, conversion.text, force or in_place, _newline(file))
    _print_report(file, conversion, out, report)
    return _verify(file, out) if verify_ else 0


def _output_path(file: Path, output: str | None, in_place: bool) -> Path | None:
    """The file to write, None for standard output."""
    if in_place and output is not None:
        raise click.UsageError("--in-place and --output exclude each other")
    if output == "-":
        return None
    if in_place:
        return file
    return Path(output) if output is not None else file.with_name(f"{file.stem}_lit.py")


def _newline(file: Path) -> str:
    """How a file's first line ends, so that its conversion does too."""
    with file.open("rb") as stream:
        return "\r\n" if stream.readline().endswith(b"\r\n") else "\n"


def _write(out: Path, text: str, force: bool, newline: str) -> None:
    """Write beside, then rename: there is never half a file."""
    if out.is_dir():
        raise click.UsageError(f"cannot write {out}: it is a folder")
    if out.exists() and not force and not _is_ours(out):
        raise click.UsageError(f"{out} exists and was not written by convert; use --force to overwrite it")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent or ".")
    except OSError as error:
        raise click.UsageError(f"cannot write {out}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline=newline) as stream:
            stream.write(text)
        mode = out.stat().st_mode if out.exists() else 0o666 & ~_umask()
        os.chmod(name, mode)
        os.replace(name, out)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise click.UsageError(f"cannot write {out}: {error.strerror}") from None


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


def _place(file: Path, line: int | None, message: str) -> str:
    return f"{file}:{line}: {message}" if line is not None else f"{file}: {message}"


def _print_refusal(file: Path, refusal: Exception, report: str) -> None:
    code, advice, line = (getattr(refusal, n) for n in ("code", "advice", "line"))
    if report == "json":
        import json

        fields = {"file": str(file), "line": line, "code": code, "message": str(refusal), "advice": advice}
        click.echo(json.dumps({"converted": False, "refusal": fields}, indent=2))
        return
    if report == "sarif":
        from litify_converter.report import as_sarif

        click.echo(as_sarif([(str(file), line, code, str(refusal))]))
        return
    place = f"{file}:{line}" if line is not None else str(file)
    click.echo(f"{place}: {code} {refusal}", err=True)
    if advice:
        click.echo(f"  {advice}", err=True)


def _print_diff(file: Path, out: Path | None, conversion: Conversion) -> None:
    from litify_converter.read import read

    before = read(file).text.splitlines(keepends=True)
    after = conversion.text.splitlines(keepends=True)
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in difflib.unified_diff(before, after, str(file), str(out or file)):
        text = line if line.endswith("\n") else f"{line}\n"
        click.echo(click.style(text, fg=colours.get(line[:1])) if sys.stdout.isatty() else text, nl=False)


def _print_report(file: Path, conversion: Conversion, out: Path, kind: str) -> None:
    from litify_converter.report import as_json, as_sarif, as_text

    if kind == "sarif":
        notes = [n for n in conversion.plan.notes if n.kind == "look"]
        click.echo(as_sarif([(str(file), n.line or None, "LC301", n.text) for n in notes]))
    else:
        click.echo(as_json(conversion, out) if kind == "json" else as_text(conversion, out))


def _verify(file: Path, out: Path) -> int:
    from litify.commands.verify import verify

    code: int = verify.main([str(file), str(out)], standalone_mode=False) or 0
    return code
