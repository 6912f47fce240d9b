"""Promise 1: a converted script takes the same optimizer steps, to the bit, and prints the same results.

Every script here is run as it stands and as converted. First scripts that once went wrong, then the golden cases, then
scripts assembled from fragments: each of those is converted, or refused with a reason; it never crashes or diverges.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from assembled import script
from choices import DIMENSIONS, Choice
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from trajectory import alike, check_same_steps, difference, run

from litify_converter.refusals import Refusal, SelfCheckFailed
from litify_linter import lint_text

CASES = sorted((Path(__file__).parent / "cases").glob("*.py"))
SCRIPTS = sorted((Path(__file__).parent / "cases" / "same_steps").glob("*.py"))
ALONE = [Choice(**{name: value}) for name, values in DIMENSIONS.items() for value in values[1:]]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_script_that_once_went_wrong(path: Path) -> None:
    """What comes out is clean under the default rules too (promise 2)."""
    result = check_same_steps(path.read_text())
    assert [f"{f.line} {f.code} {f.message}" for f in lint_text(result, "train_lit.py")] == []


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_golden_case_takes_the_same_steps(path: Path) -> None:
    """The golden file itself is run, so that a reviewed text that is wrong can't stay."""
    source, _, expected = path.read_text().partition("# output\n")
    raw, lit = run(source), run(expected)
    assert raw.error is None
    assert raw.steps
    assert difference(raw, lit) is None
    missing = [line for line in raw.printed if not any(alike(line, other) for other in lit.printed)]
    shown_by_log = [line for line in missing if line.split(" ")[0] not in expected]
    assert missing == shown_by_log


@pytest.mark.parametrize("choice", ALONE, ids=str)
def test_one_fragment(choice: Choice) -> None:
    """Each fragment, everything else plain, converts."""
    check_same_steps(script(choice))


@pytest.mark.parametrize("style", ["auto", "verbatim"])
def test_plain_in_either_style(style: str) -> None:
    check_same_steps(script(Choice(evaluation="returned", schedule="step-lr", state="running-loss")), style)


def choices() -> st.SearchStrategy[Choice]:
    """Any choice; the plain one of a dimension is as likely as all others together, so that scripts stay readable."""
    return st.builds(
        Choice,
        **{
            name: st.one_of(st.just(values[0]), st.sampled_from(values))
            for name, values in DIMENSIONS.items()
        },
    )


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a failing choice is readable as it is, and making it smaller takes minutes
    suppress_health_check=list(HealthCheck),
)
@given(choices())
def test_assembled_script_converts_faithfully_or_is_refused(choice: Choice) -> None:
    text = script(choice)
    try:
        check_same_steps(text)
    except SelfCheckFailed as defect:
        raise AssertionError(f"{choice}: {defect}\n{text}") from defect
    except Refusal as refusal:
        assert refusal.line is not None, f"{choice}: {refusal} names no line"
