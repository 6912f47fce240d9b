"""`litify lint`: findings on paths or on standard input."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from litify.commands.rule import Unusable, explained
from litify_linter.output import FORMATS

if TYPE_CHECKING:
    from litify_linter.check import Checked
    from litify_linter.config import Settings
    from litify_linter.run import Result


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
@click.option("--fix", is_flag=True, help="Fix what can be fixed without changing what the program computes.")
@click.option("--unsafe-fixes", is_flag=True, help="With --fix or --diff: also fixes that may change it.")
@click.option("--diff", is_flag=True, help="Print what --fix would change, and write nothing.")
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
@click.option("--no-cache", is_flag=True, help="Check every file anew, and remember nothing.")
@click.option(
    "--cache-dir", type=click.Path(), default=".litify_cache", show_default=True, envvar="LITIFY_CACHE_DIR"
)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes to use; by default as many as pay.")
@click.option("--explain", metavar="RULE", help="Print what a rule finds, why, and an example; then stop.")
def lint(paths: tuple[str, ...], explain: str | None, **options: Any) -> int:
    """Find engineering code in research code, and mistakes against Lightning's hooks.

    PATHS are files and folders, `-` for standard input; without any, the current folder. Exit codes: 0 nothing found,
    1 findings (or, with --diff, something to change), 2 wrong use or something that could not be read.
    """
    if explain is not None:
        click.echo(explained(explain), nl=False)
        return 0
    from litify_linter.config import ConfigError

    try:
        return _lint(paths, _Options(**options))
    except ConfigError as error:
        raise Unusable(str(error)) from None


@dataclass(frozen=True)
class _Options:
    """The command line, one field an option."""

    select: str | None
    extend_select: str | None
    ignore: str | None
    exclude: str | None
    force_exclude: bool
    output_format: str
    fix: bool
    unsafe_fixes: bool
    diff: bool
    output_file: str | None
    statistics: bool
    exit_zero: bool
    stdin_filename: str | None
    config: str | None
    isolated: bool
    no_cache: bool
    cache_dir: str
    jobs: int | None

    def settings(self) -> Callable[[Path], Settings]:
        """A function folder -> settings for the files in it."""
        from litify_linter.config import Overrides, settings_lookup

        overrides = Overrides(
            select=_split(self.select) if self.select is not None else None,
            extend_select=_split(self.extend_select),
            ignore=_split(self.ignore),
            exclude=_split(self.exclude),
        )
        return settings_lookup(overrides, Path(self.config) if self.config else None, self.isolated)


def _lint(paths: tuple[str, ...], options: _Options) -> int:
    if options.stdin_filename is not None and paths not in ((), ("-",)):
        raise click.UsageError("--stdin-filename goes with `-` as the only path")
    settings = options.settings()
    if paths == ("-",) or options.stdin_filename is not None:
        return _lint_stdin(options, settings)
    result = _check_paths(paths or (".",), options, settings)
    checked, problems = result.checked, result.problems
    fixed, changed = 0, False
    if options.fix or options.diff:
        fixed, changed = _fix_files(checked, problems, options, settings)
    if not options.diff:
        _write(checked, options, fixed, whole=not problems)
    for problem in problems:
        click.echo(f"litify lint: error: {problem}", err=True)
    if problems:
        return 2
    found = changed if options.diff else any(file.findings for file in checked)
    return int(found and not options.exit_zero)


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _lint_stdin(options: _Options, settings: Callable[[Path], Settings]) -> int:
    """Lint standard input; with --fix the fixed text goes to standard output, what is left to find to standard error."""
    from litify_linter.check import Checked, check_source
    from litify_linter.fix import difference, fix_source

    name = options.stdin_filename or "-"
    here = settings(Path(name).absolute().parent)
    data = sys.stdin.buffer.read()
    if options.force_exclude and here.excludes_within(os.path.abspath(name)):
        if options.fix:
            sys.stdout.buffer.write(data)
        return _stdin_result(Checked(name), options)
    if not (options.fix or options.diff):
        return _stdin_result(check_source(data, name, here), options)
    fixed = fix_source(data, name, here, options.unsafe_fixes)
    if options.diff:
        for piece in difference(name, data, fixed.data):
            _echo(piece)
        return int(fixed.data != data and not options.exit_zero)
    sys.stdout.buffer.write(fixed.data)
    sys.stdout.flush()
    return _stdin_result(fixed.checked, options)


def _stdin_result(checked: Checked, options: _Options) -> int:
    _write([checked], options, 0, err=options.fix)
    return int(bool(checked.findings) and not options.exit_zero)


def _check_paths(paths: Sequence[str], options: _Options, settings: Callable[[Path], Settings]) -> Result:
    from litify_linter.cache import Cache
    from litify_linter.run import check_paths

    cache = None if options.no_cache else Cache(Path(options.cache_dir))
    result = check_paths(paths, settings, options.force_exclude, cache, options.jobs)
    if not result.checked and not result.problems:
        click.echo(f"litify lint: warning: no Python files under {', '.join(paths)}", err=True)
    return result


def _fix_files(
    checked: list[Checked], problems: list[str], options: _Options, settings: Callable[[Path], Settings]
) -> tuple[int, bool]:
    """Fix files, or show how; the number of fixes, and whether there are any. `checked` then says what is left."""
    from litify_linter.fix import difference, fix_source, write

    total, changed = 0, False
    for index, file in enumerate(checked):
        if not any(f.fix is not None and (f.fix.safe or options.unsafe_fixes) for f in file.findings):
            continue
        try:
            data = Path(file.path).read_bytes()
            here = settings(Path(file.path).absolute().parent)
            fixed = fix_source(data, file.path, here, options.unsafe_fixes)
            changed |= fixed.data != data
            if options.diff:
                for piece in difference(file.path, data, fixed.data):
                    _echo(piece)
                continue
            if fixed.data != data:
                write(file.path, fixed.data)
        except OSError as error:
            problems.append(f"{file.path}: cannot be written: {error.strerror}")
            continue
        total += sum(fixed.counts.values())
        checked[index] = fixed.checked
    return total, changed


def _write(
    checked: Sequence[Checked], options: _Options, fixed: int, err: bool = False, whole: bool = True
) -> None:
    """Write what was found; only where the whole was read is nothing found a success."""
    from litify_linter.output import render

    colour = options.output_file is None and _wants_colour()
    pieces = _statistics(checked) if options.statistics else render(options.output_format, checked, colour)
    if options.output_file is not None:
        try:
            with open(options.output_file, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(pieces)
        except OSError as error:
            raise Unusable(f"{options.output_file}: cannot be written: {error.strerror}") from None
    else:
        for piece in pieces:
            _echo(piece, err)
    if options.output_format in ("full", "concise") and not options.statistics:
        for line in _summary(checked, fixed, options, whole):
            click.echo(line, err=err)


def _summary(checked: Sequence[Checked], fixed: int, options: _Options, whole: bool) -> Iterator[str]:
    every = [finding for file in checked for finding in file.findings]
    files = sum(1 for file in checked if file.findings)
    total = len(every) + fixed
    if not total:
        if whole:
            yield "All checks passed!"
    elif fixed:
        yield f"Found {total} finding{'s' * (total != 1)} ({fixed} fixed, {len(every)} remaining)."
    else:
        yield f"Found {total} finding{'s' * (total != 1)} in {files} file{'s' * (files != 1)}."
    safe = sum(1 for f in every if f.fix is not None and f.fix.safe)
    unsafe = sum(1 for f in every if f.fix is not None and not f.fix.safe)
    parts = [f"{safe} fixable with `--fix`"] if safe else []
    if unsafe and not (options.unsafe_fixes and options.fix):
        parts.append(f"{unsafe}{' more' * bool(safe)} with `--fix --unsafe-fixes`")
    if parts:
        yield f"[*] {', '.join(parts)}."


def _statistics(checked: Sequence[Checked]) -> Iterator[str]:
    counts = Counter((finding.code, finding.name) for file in checked for finding in file.findings)
    width = len(str(max(counts.values(), default=0)))
    for (code, name), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield f"{count:>{width}}  {code}  {name}\n"


def _echo(text: str, err: bool = False) -> None:
    """Print; what the terminal's encoding lacks (or a file name that is no text) is escaped, not fatal."""
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(
        text.encode(encoding, errors="backslashreplace").decode(encoding), nl=False, color=True, err=err
    )


def _wants_colour() -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()
