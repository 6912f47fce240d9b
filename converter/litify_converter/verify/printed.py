"""Numbers that both scripts print on lines which read the same but for the numbers.

A line becomes a form (`Test loss: #, accuracy: #/#`) and its numbers. Forms that both scripts print equally often are
compared, line by line in order. Left out are times of day and durations (told by their unit or their name),
and whatever the original itself prints otherwise when it is run again (`unsteady`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from litify_converter.verify.trace import PrintedLine

# Metrics reduced in another order (a mean of means) differ by rounding in float32.
_ROUNDING = 1e-5
# One in the last digit printed is rounding only where it is this small: 0.4471 and 0.4472, not 97.3 and 97.4.
_LAST_DIGIT = 1e-3

_CLOCK = re.compile(r"\d+:\d\d(?::\d\d)?(?:\.\d+)?|\d{4}-\d\d-\d\d")
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan\b|inf\b)(?![.\d])"
)
_TIME_AFTER = re.compile(
    r"\s*(?:s|secs?|seconds?|[mµun]s|min|minutes?|h|hours?)\b|\s*\w+/(?:s|sec|second)\b|\s*s/\w+",
    re.IGNORECASE,
)
_TIME_BEFORE = re.compile(
    r"(?:time|elapsed|took|duration|eta|speed|throughput|ms/\w+|sec|seconds)\W*$", re.IGNORECASE
)

Columns = frozenset[tuple[str, int]]  # form, index of a number in it


@dataclass(frozen=True)
class PrintedDifference:
    form: str
    raw: PrintedLine
    lit: PrintedLine
    raw_number: str
    lit_number: str
    column: int
    relative: float


@dataclass(frozen=True)
class PrintedComparison:
    lines: int  # whose numbers were compared
    rounded: int  # of these, with numbers that differ by rounding only
    differences: tuple[PrintedDifference, ...]
    uneven: tuple[str, ...]  # forms that one script prints more often than the other


@dataclass(frozen=True)
class _Result:
    line: PrintedLine
    numbers: tuple[str, ...]  # "" where it tells a time


def compare_printed(
    raw: Sequence[PrintedLine], lit: Sequence[PrintedLine], unsteady: Columns = frozenset()
) -> PrintedComparison:
    """Compare what both print; `unsteady` are numbers that mean nothing."""
    ours, theirs = _by_form(raw), _by_form(lit)
    lines = rounded = 0
    differences: list[PrintedDifference] = []
    uneven: list[str] = []
    for form, pairs in _shared(ours, theirs):
        if len(ours[form]) != len(theirs[form]):
            uneven.append(form)
            continue
        for a, b in pairs:
            found = list(_differences(form, a, b, unsteady))
            beyond = [one for one in found if not _is_rounding(one)]
            lines += 1
            rounded += bool(found) and not beyond
            differences += beyond
    differences.sort(key=lambda one: one.raw.step)  # stable: within a step in the order of forms
    return PrintedComparison(lines, rounded, tuple(differences), tuple(uneven))


def unsteady_columns(raw: Sequence[PrintedLine], again: Sequence[PrintedLine]) -> Columns:
    """Numbers that two runs of the same script print otherwise."""
    first, second = _by_form(raw), _by_form(again)
    found: set[tuple[str, int]] = set()
    for form, results in first.items():
        for a, b in zip_longest(results, second.get(form, [])):
            for column in range(len(results[0].numbers)):
                if a is None or b is None or a.numbers[column] != b.numbers[column]:
                    found.add((form, column))
    return frozenset(found)


def _by_form(lines: Sequence[PrintedLine]) -> dict[str, list[_Result]]:
    found: dict[str, list[_Result]] = {}
    for line in lines:
        text = _CLOCK.sub("@", " ".join(line.text.split()))
        numbers = tuple("" if _is_time(text, match) else match[0] for match in _NUMBER.finditer(text))
        if any(numbers):
            found.setdefault(_NUMBER.sub("#", text), []).append(_Result(line, numbers))
    return found


def _is_time(text: str, match: re.Match[str]) -> bool:
    return bool(_TIME_AFTER.match(text, match.end()) or _TIME_BEFORE.search(text[: match.start()]))


def _shared(
    ours: Mapping[str, list[_Result]], theirs: Mapping[str, list[_Result]]
) -> Iterator[tuple[str, Iterator[tuple[_Result, _Result]]]]:
    for form, results in ours.items():
        if form in theirs:
            yield form, zip(results, theirs[form])  # noqa: B905 (used only where lengths agree)


def _differences(form: str, a: _Result, b: _Result, unsteady: Columns) -> Iterator[PrintedDifference]:
    for column, (x, y) in enumerate(zip(a.numbers, b.numbers, strict=True)):
        if x != y and x and y and (form, column) not in unsteady and float(x) != float(y):
            yield PrintedDifference(form, a.line, b.line, x, y, column, _relative(float(x), float(y)))


def _relative(a: float, b: float) -> float:
    if not (math.isfinite(a) and math.isfinite(b)):
        return 0.0 if math.isnan(a) and math.isnan(b) else math.inf
    return abs(a - b) / max(abs(a), abs(b))


def _is_rounding(one: PrintedDifference) -> bool:
    """A number with a point may differ as much as float32 loses in a sum, which may turn the last of several digits."""
    if one.relative <= 0.0:
        return True
    if not all("." in text or "e" in text.lower() for text in (one.raw_number, one.lit_number)):
        return False
    last_digit = max(_last_digit(one.raw_number), _last_digit(one.lit_number))
    apart = abs(float(one.raw_number) - float(one.lit_number))
    return one.relative <= _ROUNDING or (one.relative <= _LAST_DIGIT and apart < 1.5 * last_digit)


def _last_digit(number: str) -> float:
    """What one more in the last digit is worth: 0.01 for "3.14"."""
    digits, _, exponent = number.lower().partition("e")
    return float(10.0 ** (int(exponent or 0) - len(digits.partition(".")[2])))
