"""`litify verify`: prove that a converted script takes the same optimizer steps as the original."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from litify_converter.verify import Verdict

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

# What `litify verify` and `litify convert --verify` take alike: how both scripts are run and compared.
_RUN_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "--steps",
        {"type": click.IntRange(min=1), "metavar": "N", "help": "Compare the first N optimizer steps only."},
    ),
    (
        "--tolerance",
        {
            "type": click.FloatRange(min=0.0),
            "metavar": "X",
            "help": "Largest relative difference that counts as close. Default: numbers must be equal.",
        },
    ),
    ("--seed", {"type": click.IntRange(min=0), "metavar": "S", "help": "Seed of both runs. Default: 0."}),
    (
        "--timeout",
        {
            "type": click.FloatRange(min=0.0, min_open=True),
            "metavar": "SECONDS",
            "help": "Time for each run. Default: no limit.",
        },
    ),
    (
        "--synthetic",
        {
            "is_flag": True,
            "help": "Random items in place of the data sets of torchvision and torch_geometric; nothing is downloaded.",
        },
    ),
    (
        "--items",
        {
            "type": click.IntRange(min=1),
            "metavar": "N",
            "help": "With --synthetic: most items that a data set has. Default: 1024.",
        },
    ),
)


def run_options(prefix: str = "") -> Callable[[Decorated], Decorated]:
    """Options of a command about how both scripts are run; `prefix` stands before the help of each."""

    def decorated(command: Decorated) -> Decorated:
        for name, settings in reversed(_RUN_OPTIONS):
            command = click.option(name, **{**settings, "help": prefix + settings["help"]})(command)
        return command

    return decorated


def given_options(run: dict[str, Any]) -> dict[str, Any]:
    """Those of the `run_options` that the command line has. Raises UsageError where they don't go together."""
    given = {name: value for name, value in run.items() if value is not None and value is not False}
    if "items" in given and "synthetic" not in given:
        raise click.UsageError("--items is the size of synthetic data sets; add --synthetic")
    return given


@click.command(short_help="Prove that the converted script takes the same optimizer steps.")
@click.argument("raw", type=click.Path())
@click.argument("lit", type=click.Path())
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@run_options()
@click.option("--report", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--plot", type=click.Path(), metavar="FILE", help="Draw both loss curves (.png, .svg, .pdf).")
@click.option(
    "--keep", type=click.Path(), metavar="DIR", help="Keep scratch copies, traces and logs in a new folder."
)
def verify(
    raw: str,
    lit: str,
    args: tuple[str, ...],
    report: str,
    plot: str | None,
    keep: str | None,
    **run: Any,
) -> int:
    """Run RAW and LIT with the same seed and compare every optimizer step, the evaluation and the final weights.

    What follows -- is given to both scripts. They run one after the other, in scratch copies of the working folder:
    nothing they write lands among your files.

    \b
    Examples:
      litify verify train.py train_lit.py -- --epochs 2
      litify verify train.py train_lit.py --synthetic --steps 20

    Exit codes: 0 identical (or close, with --tolerance), 1 diverged, 2 a script could not be run, 130 interrupted.
    """
    verdict = verdict_on(raw, lit, args, run, plot=plot, keep=keep)
    click.echo(json.dumps(verdict.to_json(), indent=2) if report == "json" else verdict.to_text())
    return 0 if verdict.ok else 1


def verdict_on(
    raw: str,
    lit: str,
    args: tuple[str, ...],
    run: dict[str, Any],
    *,
    plot: str | None = None,
    keep: str | None = None,
) -> Verdict:
    """Compare two scripts; `run`: values of `run_options`, None where one was not given.

    Raises:
        NoVerdict: wrong use, or a script that can't be run here.
    """
    from litify_converter.verify import CannotVerify
    from litify_converter.verify import verify as verify_pair

    given = given_options(run)
    with _Progress() as progress:
        try:
            return verify_pair(raw, lit, args, plot=plot, keep=keep, progress=progress.update, **given)
        except CannotVerify as error:
            raise NoVerdict(str(error)) from error


class NoVerdict(click.UsageError):
    """There is nothing to say about a pair; one line on standard error, exit code 2."""


class _Progress:
    """Says on stderr what runs, once it has run for a second: a line that counts on a terminal, else one a script."""

    def __init__(self) -> None:
        self.on_terminal = sys.stderr.isatty()
        self.script = ""
        self.started = 0.0
        self.announced = False
        self.width = 0  # of the line shown now

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._show("")

    def update(self, script: str, steps: int) -> None:
        if script != self.script:
            self.script, self.started, self.announced = script, time.monotonic(), False
        if time.monotonic() - self.started < 1.0:
            return
        if self.on_terminal:
            self._show(f"running {script}: {steps} steps")
        elif not self.announced:
            click.echo(f"running {script}", err=True)
            self.announced = True

    def _show(self, line: str) -> None:
        if self.on_terminal and (line or self.width):
            click.echo("\r" + line.ljust(self.width) + ("" if line else "\r"), nl=False, err=True)
            self.width = len(line)
