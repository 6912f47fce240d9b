"""The verdict as text and as JSON."""

from __future__ import annotations

import json
import math

import pytest

from litify_converter.verify.verdict import Difference, Kind, Randomness, RunSummary, Verdict

RAW = RunSummary("train.py", 930, ("Adadelta",), 14.24)
LIT = RunSummary("train_lit.py", 930, ("Adadelta",), 15.0)


def verdict(
    kind: Kind = "identical",
    first: Difference | None = None,
    *,
    randomness: Randomness = "seeded",
    steps: int = 930,
    limit: int | None = None,
    final_weights: bool = True,
    notes: tuple[str, ...] = (),
    passes: int = 0,
    lines: int = 0,
) -> Verdict:
    return Verdict(
        kind, randomness, steps, limit, final_weights, None, RAW, LIT, first, first, notes, passes, lines
    )


def test_identical_is_three_lines() -> None:
    assert verdict().to_text().split("\n") == [
        "train.py      930 steps  1 optimizer (Adadelta)  14.2 s",
        "train_lit.py  930 steps  1 optimizer (Adadelta)  15.0 s",
        "identical: 930 optimizer steps, final weights too",
    ]


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (verdict(steps=20, limit=20, final_weights=False), "identical: the first 20 optimizer steps"),
        (verdict(steps=1, final_weights=False), "identical: 1 optimizer step, final weights not compared"),
        (
            verdict(randomness="keyed"),
            "identical (same first weights and batches; the scripts draw random numbers in another order): "
            "930 optimizer steps, final weights too",
        ),
        (
            verdict("close", Difference(812, "grad_norm", 1.0, 1.1, 3.14e-7, None, None)),
            "close: 930 optimizer steps, final weights too; "
            "largest relative difference 3.1e-07 at step 812 in grad_norm",
        ),
        (verdict(notes=("seeds differ",)), "note: seeds differ"),
        (
            verdict(passes=12, lines=1),
            "identical: 930 optimizer steps, final weights too; 12 evaluation passes and 1 printed line",
        ),
        (
            verdict(steps=2, limit=2, final_weights=False, passes=1),
            "identical: the first 2 optimizer steps; 1 evaluation pass",
        ),
    ],
)
def test_last_line(one: Verdict, text: str) -> None:
    assert one.to_text().split("\n")[-1] == text


def test_diverged_names_step_field_values_and_lines() -> None:
    text = verdict("diverged", Difference(3, "lr", 0.1, 0.2, 0.5, "train.py:31", "train_lit.py:44")).to_text()
    assert "diverged at step 3 in lr: 0.1 in train.py:31, 0.2 in train_lit.py:44\n" in text
    assert "--tolerance" not in text  # no tolerance would make sense of that


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ("evaluation", "in the evaluation after 94 steps"),
        ("printed line", "in a printed line after 94 steps"),
    ],
)
def test_diverged_between_steps_says_after_which(field: str, place: str) -> None:
    text = verdict(
        "diverged", Difference(94, field, "acc 5", "acc 6", 0.2, "train.py:31", "t.py:44")
    ).to_text()
    assert f"diverged {place}: acc 5 in train.py:31, acc 6 in t.py:44\n" in text


def test_diverged_by_rounding_tells_of_the_tolerance() -> None:
    text = verdict("diverged", Difference(None, "final weights", 4.0, 4.1, 2e-7, None, None)).to_text()
    assert "diverged in final weights: 4.0 in train.py, 4.1 in train_lit.py\n" in text
    assert text.endswith(
        "largest relative difference 2.0e-07 in final weights; --tolerance X accepts up to X"
    )


def test_json_is_json_whatever_the_numbers() -> None:
    one = verdict("diverged", Difference(0, "loss", math.nan, 1.0, math.inf, None, None))
    assert not one.ok
    read = json.loads(json.dumps(one.to_json(), allow_nan=False))
    assert read["kind"] == "diverged"
    assert (read["first"]["raw"], read["first"]["relative"]) == ("nan", "inf")
    assert read["raw"]["optimizers"] == ["Adadelta"]
