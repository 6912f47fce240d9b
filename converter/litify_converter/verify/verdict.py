"""What verify has to say: as data, as JSON, as text."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["identical", "close", "diverged"]
Randomness = Literal["seeded", "keyed"]

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
    """A value that differs. `step` counts optimizer steps from 0, or is None for what is compared after the last."""

    step: int | None
    field: (
        str  # optimizer, parameters, parameter groups, lr, param_norm, loss, grad_norm, steps, final weights
    )
    raw: Any
    lit: Any
    relative: float  # infinite where sizes mean nothing
    raw_line: str | None  # path:line that made the step
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
        if self.final_weights:
            return f"{_count(self.steps, 'optimizer step')}, final weights too"
        if self.limit == self.steps:
            return f"the first {_count(self.steps, 'optimizer step')}"
        return f"{_count(self.steps, 'optimizer step')}, final weights not compared"

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
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _place(difference: Difference) -> str:
    return (
        f"in {difference.field}"
        if difference.step is None
        else f"at step {difference.step} in {difference.field}"
    )


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
