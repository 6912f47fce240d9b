"""Two traces -> the first difference and the largest one, in steps, evaluation, final weights and printed results."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from litify_converter.verify.printed import Columns, PrintedComparison, compare_printed
from litify_converter.verify.trace import ForwardPass, Step, Trace, Weight
from litify_converter.verify.verdict import EVALUATION, FINAL_WEIGHTS, PRINTED

# Beside a field's largest size in the run, differences of values this much smaller are measured against that floor:
# a loss that has shrunk from 2.3 to 1e-9 is nothing but rounding.
_FLOOR = 1e-3
_NUMERIC = ("param_norm", "loss", "grad_norm")


@dataclass(frozen=True)
class Finding:
    """One differing value. `relative` is infinite where sizes mean nothing (classes, counts, nan against a number)."""

    step: int  # index from 0; outside a step the number of steps taken before
    field: str
    raw: Any
    lit: Any
    relative: float
    raw_where: str | None = None
    lit_where: str | None = None


@dataclass(frozen=True)
class Comparison:
    steps: int  # compared in both
    final_weights: bool  # were there any to compare
    first: Finding | None  # first that is not accepted, or, where all are, first of all
    largest: Finding | None
    accepted: bool
    passes: int = 0  # evaluation passes of the original found in the conversion
    printed: PrintedComparison | None = None  # None where something before it differs

    @property
    def identical(self) -> bool:
        return self.first is None


def compare(
    raw: Trace, lit: Trace, tolerance: float | None = None, unsteady: Columns = frozenset()
) -> Comparison:
    """Compare step by step, with the evaluation between them, then the number of steps, the final weights, the prints.

    Without a tolerance only equal numbers are accepted (nan equals nan), with one relative differences up to it.
    `unsteady` are printed numbers that are not the same from run to run.
    """
    accepted = 0.0 if tolerance is None else tolerance
    findings = list(_findings(raw, lit))
    beyond = [finding for finding in findings if finding.relative > accepted]
    printed = None
    if not beyond:
        printed = compare_printed(raw.lines, lit.lines, unsteady)
        findings += _printed_findings(printed)
        beyond = [finding for finding in findings if finding.relative > accepted]
    first = (beyond or findings or [None])[0]  # type: ignore[list-item]
    return Comparison(
        steps=min(len(raw.steps), len(lit.steps)),
        final_weights=_both_have_weights(raw, lit),
        first=first,
        largest=max(findings, key=lambda finding: finding.relative, default=None),
        accepted=not beyond,
        passes=sum(one.evaluation for one in raw.passes),
        printed=printed,
    )


def _findings(raw: Trace, lit: Trace) -> Iterator[Finding]:
    """All differences in order; ends at one after which comparing makes no sense."""
    floors = {field: _FLOOR * _peak(field, raw.steps, lit.steps) for field in ("lr", *_NUMERIC)}
    ours, theirs = _by_step(raw.passes), _by_step(lit.passes)
    for index, (a, b) in enumerate(zip(raw.steps, lit.steps)):  # noqa: B905 (lengths are compared below)
        passes = _pass_findings(ours.get(index, []), theirs.get(index, []))
        here = (
            Finding(index, field, x, y, relative, a.where, b.where)
            for field, x, y, relative in _step_differences(a, b, floors)
        )
        for finding in (*passes, *here):
            yield finding
            if finding.relative == math.inf:
                return
    count = min(len(raw.steps), len(lit.steps))
    if len(raw.steps) != len(lit.steps):
        yield Finding(count, "steps", len(raw.steps), len(lit.steps), math.inf)
    else:
        yield from _pass_findings(ours.get(count, []), theirs.get(count, []))
        if _both_have_weights(raw, lit):
            yield from _weight_findings(raw, lit)


def _by_step(passes: Sequence[ForwardPass]) -> dict[int, list[ForwardPass]]:
    return {step: list(group) for step, group in groupby(passes, key=lambda one: one.step)}


def _pass_findings(raw: list[ForwardPass], lit: list[ForwardPass]) -> list[Finding]:
    """Every evaluation pass of the original must have been made by the conversion, in the same order.

    Where both evaluate equally often, they are compared one by one. Else the conversion may have passes of its own (a
    sanity check, a module called in two ways), in any mode, but among them must be those of the original.
    """
    ours = [one for one in raw if one.evaluation]
    theirs = [one for one in lit if one.evaluation]
    if len(ours) == len(theirs):
        pairs = zip(ours, theirs, strict=True)
        return [_pass_finding(a, b) for a, b in pairs if not _same_output(a, b)]
    others = iter(lit)
    for index, one in enumerate(ours):
        if not any(_same_output(one, other) for other in others):
            where = theirs[min(index, len(theirs) - 1)].where if theirs else None
            missing = Finding(one.step, EVALUATION, one.norm, "no such output", math.inf, one.where, where)
            return [missing]
    return []


def _same_output(a: ForwardPass, b: ForwardPass) -> bool:
    return _same(a.norm, b.norm) and _same(a.projection, b.projection)


def _pass_finding(a: ForwardPass, b: ForwardPass) -> Finding:
    size = max(abs(a.norm), abs(b.norm), _FLOOR)
    relative = max(_relative(a.norm, b.norm, size), _relative(a.projection, b.projection, size))
    return Finding(a.step, EVALUATION, a.norm, b.norm, relative, a.where, b.where)


def _printed_findings(printed: PrintedComparison) -> Iterator[Finding]:
    for one in printed.differences:
        raw, lit = (" ".join(line.text.split()) for line in (one.raw, one.lit))
        yield Finding(one.raw.step, PRINTED, raw, lit, one.relative, one.raw.where, one.lit.where)


def _step_differences(a: Step, b: Step, floors: dict[str, float]) -> Iterator[tuple[str, Any, Any, float]]:
    """Differing fields, causes before effects: a wrong rate shows before the norms that follow from it."""
    if (a.optimizer, a.kind) != (b.optimizer, b.kind):
        yield "optimizer", f"{a.kind} #{a.optimizer}", f"{b.kind} #{b.optimizer}", math.inf
    if a.parameters != b.parameters:
        yield "parameters", a.parameters, b.parameters, math.inf
    if len(a.lr) != len(b.lr):
        yield "parameter groups", len(a.lr), len(b.lr), math.inf
    for x, y in zip(a.lr, b.lr):  # noqa: B905 (compared above)
        if not _same(x, y):
            yield "lr", x, y, _relative(x, y, floors["lr"])
    if not _same(a.param_norm, b.param_norm):
        yield "param_norm", a.param_norm, b.param_norm, _relative(
            a.param_norm, b.param_norm, floors["param_norm"]
        )
    if len(a.loss) == len(b.loss):  # else one of them calls backward in other portions; gradients tell
        for u, v in zip(a.loss, b.loss, strict=True):
            if not _same(u, v):
                yield "loss", u, v, _relative(u, v, floors["loss"])
    if not _same(a.grad_norm, b.grad_norm):
        yield "grad_norm", a.grad_norm, b.grad_norm, _relative(a.grad_norm, b.grad_norm, floors["grad_norm"])


def _same(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))


def _relative(a: float | None, b: float | None, floor: float) -> float:
    if a is None or b is None or not (math.isfinite(a) and math.isfinite(b)):
        return math.inf
    return abs(a - b) / max(abs(a), abs(b), floor)


def _peak(field: str, *runs: Sequence[Step]) -> float:
    values = (getattr(step, field) for steps in runs for step in steps)
    flat = (number for value in values for number in (value if isinstance(value, tuple) else (value,)))
    return max((abs(number) for number in flat if number is not None and math.isfinite(number)), default=0.0)


def _both_have_weights(raw: Trace, lit: Trace) -> bool:
    return bool(raw.end and lit.end and raw.end.weights and lit.end.weights)


def _weight_findings(raw: Trace, lit: Trace) -> Iterator[Finding]:
    assert raw.end and lit.end  # seen to by the caller
    count = len(raw.steps)
    for ours, theirs in zip(raw.end.weights, lit.end.weights, strict=True):
        if len(ours) != len(theirs):
            yield Finding(count, FINAL_WEIGHTS, f"{len(ours)} tensors", f"{len(theirs)} tensors", math.inf)
            return
        for a, b in zip(ours, theirs, strict=True):
            if a.digest != b.digest:
                yield Finding(count, FINAL_WEIGHTS, a.norm, b.norm, _weight_difference(a, b))


def _weight_difference(a: Weight, b: Weight) -> float:
    """Relative to the tensor's norm, by norm or projection, whichever shows more; never 0 for tensors that differ."""
    if not all(map(math.isfinite, (a.norm, b.norm, a.projection, b.projection))):
        return math.inf
    size = max(a.norm, b.norm)
    apart = max(abs(a.norm - b.norm), abs(a.projection - b.projection))
    return max(apart / size if size else 0.0, 2.0**-52)
