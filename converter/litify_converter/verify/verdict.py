"""What verify has to say: as data, as JSON, as text."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["identical", "close", "diverged"]
Randomness = Literal["seeded", "keyed"]

FINAL_WEIGHTS = "final weights"
EVALUATION = "evaluation"
PRINTED = "printed line"
_ARTICLES = {EVALUATION: "the evaluation", PRINTED: "a printed line"}
_ROUNDING = 1e-3  # differences below may be rounding, which a tolerance is for
_KEYED = "same first weights and batches; the scripts draw random numbers in another order"


class CannotVerify(Exception):
    """There is no verdict: wrong use, or a script that cannot be run here. The message is one line for the user."""


@dataclass(frozen=True)
class RunSummary:
    script: str  # as the user named it
    steps: int
    optimizers: tuple[str, ...]  # class names, in order of first step
    seconds: float


@dataclass(frozen=True)
class Difference:
    """A value that differs.

    `step` counts optimizer steps from 0; for evaluation and printed lines it is the number of steps taken before, and
    None for final weights. Values are numbers, class names, counts or, for a printed line, its text.
    """

    step: int | None
    field: str  # optimizer, parameters, parameter groups, lr, param_norm, loss, grad_norm, steps, final weights, ...
    raw: Any
    lit: Any
    relative: float  # infinite where sizes mean nothing
    raw_line: str | None  # path:line that made the step, called the network or printed
    lit_line: str | None


@dataclass(frozen=True)
class Verdict:
    """Identical, close or diverged, with what was compared.

    `randomness` says under which random numbers: "seeded" is the same seed before the first line of both scripts;
    "keyed" gives each kind of random call its own numbers, whatever the order of calls.
    """

    kind: Kind
    randomness: Randomness
    steps: int  # compared
    limit: int | None  # steps asked for; both runs stopped there
    final_weights: bool  # compared too
    tolerance: float | None
    raw: RunSummary
    lit: RunSummary
    first: Difference | None
    largest: Difference | None
    notes: tuple[str, ...] = ()
    evaluation_passes: int = 0  # forward passes outside training whose outputs were compared
    printed_lines: int = 0  # whose numbers were compared

    @property
    def ok(self) -> bool:
        return self.kind != "diverged"

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps; numbers that JSON does not know (nan, inf) become text."""
        plain = _plain(asdict(self))
        assert isinstance(plain, dict)
        return plain

    def to_text(self) -> str:
        """A table of both runs and the verdict, a few lines, each to be read by itself."""
        return "\n".join(
            [*_table(self.raw, self.lit), *self._sentences(), *map("note: {}".format, self.notes)]
        )

    def _sentences(self) -> list[str]:
        how = f" ({_KEYED})" if self.randomness == "keyed" else ""
        what = self._compared()
        if self.kind == "identical":
            return [f"identical{how}: {what}"]
        assert self.first and self.largest
        if self.kind == "close":
            return [f"close{how}: {what}; largest relative difference {_at(self.largest)}"]
        return [f"diverged {_place(self.first)}: {self._values()}", *self._advice()]

    def _compared(self) -> str:
        steps = _count(self.steps, "optimizer step")
        extra = [
            _count(number, thing)
            for number, thing in (
                (self.evaluation_passes, "evaluation pass"),
                (self.printed_lines, "printed line"),
            )
            if number
        ]
        if self.final_weights:
            whole = f"{steps}, final weights too"
        elif self.limit == self.steps:
            whole = f"the first {steps}"
        else:
            whole = f"{steps}, final weights not compared"
        return f"{whole}; {' and '.join(extra)}" if extra else whole

    def _values(self) -> str:
        assert self.first
        sides = (
            (self.raw.script, self.first.raw, self.first.raw_line),
            (self.lit.script, self.first.lit, self.first.lit_line),
        )
        return ", ".join(f"{value} in {line or script}" for script, value, line in sides)

    def _advice(self) -> list[str]:
        if not self.largest or not math.isfinite(self.largest.relative):
            return []
        hint = "; --tolerance X accepts up to X" if self.largest.relative < _ROUNDING else ""
        return [f"largest relative difference {_at(self.largest)}{hint}"]


def _table(*runs: RunSummary) -> list[str]:
    rows = [
        (run.script, _count(run.steps, "step"), _optimizers(run.optimizers), f"{run.seconds:.1f} s")
        for run in runs
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        f"{script:<{widths[0]}}  {steps:>{widths[1]}}  {optimizers:<{widths[2]}}  {seconds:>{widths[3]}}"
        for script, steps, optimizers, seconds in rows
    ]


def _optimizers(names: tuple[str, ...]) -> str:
    return f"{_count(len(names), 'optimizer')} ({', '.join(names)})" if names else "no optimizer"


def _count(number: int, thing: str) -> str:
    plural = "es" if thing.endswith("s") else "s"
    return f"{number} {thing}" if number == 1 else f"{number} {thing}{plural}"


def _place(difference: Difference) -> str:
    if difference.step is None:
        return f"in {difference.field}"
    if difference.field in (EVALUATION, PRINTED):
        return f"in {_ARTICLES[difference.field]} after {_count(difference.step, 'step')}"
    return f"at step {difference.step} in {difference.field}"


def _at(difference: Difference) -> str:
    return f"{difference.relative:.1e} {_place(difference)}"


def _plain(value: object) -> object:
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
    return value
