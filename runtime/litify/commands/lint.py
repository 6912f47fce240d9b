"""`litify lint`: findings on paths or on standard input."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from litify_linter.output import FORMATS

if TYPE_CHECKING:
    from litify_linter.check import Checked
    from litify_linter.config import Settings


@click.command(epilog="Example: litify lint . --select LIT1,LIT901 --output-format concise")
@click.argument("paths", nargs=-1, type=click.Path())
@click.option(
    "--select", metavar="CODES", help="Run only these rules: LIT101, a family LIT1, a name, or ALL."
)
@click.option("--extend-select", metavar="CODES", help="Run these rules as well.")
@click.option("--ignore", metavar="CODES", help="Do not run these rules.")
@click.option("--exclude", metavar="GLOBS", help="Leave out these files and folders as well.")
@click.option(
    "--force-exclude", is_flag=True, help="Leave them out even when named on the command line (pre-commit)."
)
@click.option(
    "--output-format",
    type=click.Choice(FORMATS),
    default="full",
    show_default=True,
    envvar="LITIFY_OUTPUT_FORMAT",
)
@click.option("--output-file", type=click.Path(dir_okay=False), help="Write the findings to a file.")
@click.option(
    "--statistics", is_flag=True, help="Print how often each rule found something, instead of the findings."
)
@click.option("--exit-zero", is_flag=True, help="Exit with 0 even if there are findings.")
@click.option(
    "--stdin-filename", metavar="PATH", help="The name of what comes on standard input (PATHS is `-`)."
)
@click.option("--config", type=click.Path(), help="A pyproject.toml to use for all files.")
@click.option("--isolated", is_flag=True, help="Read no pyproject.toml.")
@click.option("--explain", metavar="RULE", help="Print what a rule finds, why, and an example; then stop.")
def lint(
    paths: tuple[str, ...],
    select: str | None,
    extend_select: str | None,
    ignore: str | None,
    exclude: str | None,
    force_exclude: bool,
    output_format: str,
    output_file: str | None,
    statistics: bool,
    exit_zero: bool,
    stdin_filename: str | None,
    config: str | None,
    isolated: bool,
    explain: str | None,
) -> int:
    """Find engineering code in research code, and mistakes against Lightning's hooks.

    PATHS are files and folders, `-` for standard input; without any, the current folder. Exit codes: 0 nothing found,
    1 findings, 2 wrong use or something that could not be read.
    """
    from litify_linter.config import ConfigError, Overrides, settings_lookup

    overrides = Overrides(
        select=_split(select) if select is not None else None,
        extend_select=_split(extend_select),
        ignore=_split(ignore),
        exclude=_split(exclude),
    )
    try:
        if explain is not None:
            return _explain(explain)
        settings = settings_lookup(overrides, Path(config) if config else None, isolated)
        checked, problems = _check(paths, stdin_filename, settings, force_exclude)
    except ConfigError as error:
        raise _Unusable(str(error)) from None
    _write(checked, output_format, output_file, statistics)
    for problem in problems:
        click.echo(f"litify lint: error: {problem}", err=True)
    if problems:
        return 2
    return int(any(file.findings for file in checked) and not exit_zero)


class _Unusable(click.ClickException):
    """Wrong use or unreadable input: one line on standard error."""

    exit_code = 2


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _explain(word: str) -> int:
    from litify_linter.document import page
    from litify_linter.rules import all_rules, find_rule

    if word.upper() == "ALL":
        click.echo("\n".join(page(rule) for rule in all_rules()), nl=False)
        return 0
    rule = find_rule(word)
    if rule is None:
        codes = ", ".join(f"{rule.code} ({rule.name})" for rule in all_rules())
        raise _Unusable(f"no rule {word!r}; there are {codes}")
    click.echo(page(rule), nl=False)
    return 0


def _check(
    paths: tuple[str, ...],
    stdin_filename: str | None,
    settings: Callable[[Path], Settings],
    force_exclude: bool,
) -> tuple[list[Checked], list[str]]:
    """The linted files, and a line for each path that cannot be linted."""
    if stdin_filename is not None and paths not in ((), ("-",)):
        raise click.UsageError("--stdin-filename goes with `-` as the only path")
    if paths == ("-",) or stdin_filename is not None:
        return [_check_stdin(stdin_filename, settings, force_exclude)], []
    return _check_paths(paths or (".",), settings, force_exclude)


def _check_stdin(filename: str | None, settings: Callable[[Path], Settings], force_exclude: bool) -> Checked:
    from litify_linter.check import Checked, check_source

    name = filename or "-"
    found = settings(Path(name).absolute().parent)
    if force_exclude and found.excludes_within(os.path.abspath(name)):
        return Checked(name)
    return check_source(sys.stdin.buffer.read(), name, found)


def _check_paths(
    paths: Sequence[str], settings: Callable[[Path], Settings], force_exclude: bool
) -> tuple[list[Checked], list[str]]:
    from litify_linter.check import check_file
    from litify_linter.files import Problem, discover

    checked: list[Checked] = []
    problems: list[str] = []
    for target in discover(paths, settings, force_exclude):
        if isinstance(target, Problem):
            problems.append(str(target))
            continue
        try:
            folder = settings(Path(target.path).absolute().parent)
            checked.append(check_file(target.path, folder, target.named))
        except OSError as error:
            problems.append(f"{target.path}: cannot be read: {error.strerror}")
    if not checked and not problems:
        click.echo(f"litify lint: warning: no Python files under {', '.join(paths)}", err=True)
    return checked, problems


def _write(checked: Sequence[Checked], output_format: str, output_file: str | None, statistics: bool) -> None:
    from litify_linter.output import render

    total = sum(len(file.findings) for file in checked)
    colour = output_file is None and _wants_colour()
    pieces = _statistics(checked) if statistics else render(output_format, checked, colour)
    if output_file is not None:
        try:
            with open(output_file, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(pieces)
        except OSError as error:
            raise _Unusable(f"{output_file}: cannot be written: {error.strerror}") from None
    else:
        for piece in pieces:
            _echo(piece)
    if output_format in ("full", "concise") and not statistics:
        files = sum(1 for file in checked if file.findings)
        found = f"Found {total} finding{'s' * (total != 1)} in {files} file{'s' * (files != 1)}."
        click.echo(found if total else "All checks passed!")


def _statistics(checked: Sequence[Checked]) -> Iterator[str]:
    counts = Counter((finding.code, finding.name) for file in checked for finding in file.findings)
    width = len(str(max(counts.values(), default=0)))
    for (code, name), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield f"{count:>{width}}  {code}  {name}\n"


def _echo(text: str) -> None:
    """Print; what the terminal's encoding lacks (or a file name that is no text) is escaped, not fatal."""
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(text.encode(encoding, errors="backslashreplace").decode(encoding), nl=False, color=True)


def _wants_colour() -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()
