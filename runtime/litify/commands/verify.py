"""`litify verify`: prove that a converted script takes the same optimizer steps as the original."""

from __future__ import annotations

import json
import sys
import time

import click


@click.command(short_help="Prove that the converted script takes the same optimizer steps.")
@click.argument("raw", type=click.Path())
@click.argument("lit", type=click.Path())
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--steps", type=click.IntRange(min=1), metavar="N", help="Compare the first N optimizer steps only."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0),
    metavar="X",
    help="Largest relative difference that counts as close. Default: numbers must be equal.",
)
@click.option("--report", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of both runs.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="SECONDS",
    help="Time for each run. Default: no limit.",
)
@click.option(
    "--synthetic",
    is_flag=True,
    help="Random items in place of the data sets of torchvision and torch_geometric; nothing is downloaded.",
)
@click.option(
    "--items",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --synthetic: most items that a data set has. Default: 1024.",
)
@click.option("--plot", type=click.Path(), metavar="FILE", help="Draw both loss curves (.png, .svg, .pdf).")
@click.option(
    "--keep", type=click.Path(), metavar="DIR", help="Keep scratch copies, traces and logs in a new folder."
)
def verify(
    raw: str,
    lit: str,
    args: tuple[str, ...],
    steps: int | None,
    tolerance: float | None,
    report: str,
    seed: int,
    timeout: float | None,
    synthetic: bool,
    items: int | None,
    plot: str | None,
    keep: str | None,
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
    from litify_converter.verify import CannotVerify
    from litify_converter.verify import verify as verify_pair

    if items is not None and not synthetic:
        raise click.UsageError("--items is the size of synthetic data sets; add --synthetic")
    with _Progress() as progress:
        try:
            verdict = verify_pair(
                raw,
                lit,
                args,
                seed=seed,
                steps=steps,
                tolerance=tolerance,
                timeout=timeout,
                synthetic=synthetic,
                items=items if items is not None else 1024,
                plot=plot,
                keep=keep,
                progress=progress.update,
            )
        except CannotVerify as error:
            raise _NoVerdict(str(error)) from error
    click.echo(json.dumps(verdict.to_json(), indent=2) if report == "json" else verdict.to_text())
    return 0 if verdict.ok else 1


class _NoVerdict(click.ClickException):
    exit_code = 2


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
