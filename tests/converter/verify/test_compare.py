"""Two traces in, the first and the largest difference out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from litify_converter.verify.compare import compare
from litify_converter.verify.trace import End, ForwardPass, PrintedLine, Step, Trace, Weight

STEP = Step(
    optimizer=0,
    kind="SGD",
    parameters=10,
    lr=(0.1,),
    param_norm=3.0,
    loss=(2.0,),
    grad_norm=1.0,
    where="train.py:7",
)
WEIGHT = Weight(digest="a", norm=4.0, projection=1.0)


def trace(*steps: Step, weights: tuple[Weight, ...] = ()) -> Trace:
    return Trace(steps, End("exit", weights=(weights,) if weights else ()))


def changed(**values: object) -> Trace:
    return trace(STEP, replace(STEP, **values))


def test_equal_traces_are_identical() -> None:
    result = compare(trace(STEP, STEP, weights=(WEIGHT,)), trace(STEP, STEP, weights=(WEIGHT,)))
    assert result.identical and result.accepted
    assert (result.steps, result.final_weights) == (2, True)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"kind": "Adam"}, "optimizer"),
        ({"optimizer": 1}, "optimizer"),
        ({"parameters": 11}, "parameters"),
        ({"lr": (0.1, 0.1)}, "parameter groups"),
        ({"lr": (0.2,)}, "lr"),
        ({"lr": (None,)}, "lr"),
        ({"param_norm": 3.1}, "param_norm"),
        ({"loss": (2.1,)}, "loss"),
        ({"grad_norm": 1.1}, "grad_norm"),
        ({"grad_norm": math.nan}, "grad_norm"),
        ({"grad_norm": math.inf}, "grad_norm"),
    ],
)
def test_each_field_is_compared(values: dict[str, object], field: str) -> None:
    result = compare(trace(STEP, STEP), changed(**values))
    assert result.first is not None and not result.accepted
    assert (result.first.step, result.first.field) == (1, field)
    assert result.first.raw_where == "train.py:7"


def test_a_cause_is_named_before_its_effect() -> None:
    result = compare(trace(STEP), trace(replace(STEP, lr=(0.2,), grad_norm=9.0)))
    assert result.first is not None and result.first.field == "lr"


def test_nan_equals_nan_and_infinity_itself() -> None:
    step = replace(STEP, loss=(math.nan,), grad_norm=math.inf)
    assert compare(trace(step), trace(step)).identical


def test_losses_count_only_where_both_call_backward_equally_often() -> None:
    assert compare(trace(STEP), trace(replace(STEP, loss=(1.0, 1.0)))).identical


def test_a_different_number_of_steps_diverges_after_the_last_common_one() -> None:
    for raw, lit, counts in ((2, 3, (2, 3)), (3, 2, (3, 2)), (2, 0, (2, 0))):
        result = compare(trace(*[STEP] * raw), trace(*[STEP] * lit), tolerance=0.5)
        assert result.first is not None and not result.accepted
        assert (result.first.step, result.first.field) == (min(raw, lit), "steps")
        assert (result.first.raw, result.first.lit) == counts


def test_tolerance_accepts_what_is_relatively_small() -> None:
    close = changed(grad_norm=1.0 + 1e-6)
    assert not compare(trace(STEP, STEP), close).accepted
    assert not compare(trace(STEP, STEP), close, tolerance=1e-7).accepted
    result = compare(trace(STEP, STEP), close, tolerance=1e-5)
    assert result.accepted and not result.identical
    assert result.largest is not None and result.largest.relative == pytest.approx(1e-6, rel=1e-3)


def test_tolerance_reports_the_first_difference_beyond_it() -> None:
    small, large = replace(STEP, grad_norm=1.0 + 1e-9), replace(STEP, grad_norm=1.5)
    result = compare(trace(STEP, STEP, STEP), trace(small, STEP, large), tolerance=1e-6)
    assert result.first is not None and result.first.step == 2


def test_rounding_of_a_vanished_loss_is_small_beside_what_the_loss_was() -> None:
    raw = trace(STEP, replace(STEP, loss=(1e-9,)))
    lit = trace(STEP, replace(STEP, loss=(1.1e-9,)))
    assert compare(raw, lit, tolerance=1e-6).accepted


def test_final_weights_decide_when_all_steps_agree() -> None:
    other = replace(WEIGHT, digest="b", projection=1.0 + 4e-6)
    result = compare(trace(STEP, weights=(WEIGHT,)), trace(STEP, weights=(other,)))
    assert result.first is not None and result.first.field == "final weights"
    assert compare(trace(STEP, weights=(WEIGHT,)), trace(STEP, weights=(other,)), tolerance=1e-5).accepted


def test_weights_that_differ_are_never_called_identical() -> None:
    """Norm and projection may agree by chance; the digest tells."""
    result = compare(trace(STEP, weights=(WEIGHT,)), trace(STEP, weights=(replace(WEIGHT, digest="b"),)))
    assert not result.identical


def test_weights_of_a_run_cut_short_are_not_compared() -> None:
    result = compare(trace(STEP, weights=(WEIGHT,)), Trace([STEP], None))
    assert result.identical and not result.final_weights


def passes(*norms: float, step: int = 1, evaluation: bool = True) -> list[ForwardPass]:
    return [ForwardPass(norm, norm, evaluation, f"train.py:{norm:g}", step) for norm in norms]


def evaluated(*seen: ForwardPass, steps: int = 2) -> Trace:
    return Trace([STEP] * steps, End("exit"), list(seen))


def test_evaluation_passes_are_compared_one_by_one() -> None:
    result = compare(evaluated(*passes(1, 2, 3)), evaluated(*passes(1, 2, 3)))
    assert result.identical and result.passes == 3
    result = compare(evaluated(*passes(1, 2, 3)), evaluated(*passes(1, 9, 3)))
    assert result.first is not None and not result.accepted
    assert (result.first.field, result.first.step, result.first.raw, result.first.lit) == (
        "evaluation",
        1,
        2,
        9,
    )
    assert (result.first.raw_where, result.first.lit_where) == ("train.py:2", "train.py:9")


def test_rounding_in_evaluation_is_accepted_with_a_tolerance() -> None:
    raw, lit = evaluated(*passes(2.0)), evaluated(*passes(2.0 + 1e-6))
    assert not compare(raw, lit).accepted
    assert compare(raw, lit, tolerance=1e-5).accepted


def test_passes_of_the_conversions_own_do_not_count_but_missing_ones_do() -> None:
    """A sanity check runs before training; a module may be called in two ways, in another mode."""
    raw = evaluated(*passes(1, 2))
    more = evaluated(*passes(7, step=0), *passes(1, 7), *passes(2), *passes(8, evaluation=False))
    assert compare(raw, more).identical
    other_mode = evaluated(*passes(1, 2, evaluation=False))
    assert compare(raw, other_mode).identical
    for fewer in (
        evaluated(*passes(1)),
        evaluated(),
        evaluated(*passes(1, 2, step=0)),
        evaluated(*passes(2, 1, 3)),
    ):
        result = compare(raw, fewer, tolerance=0.5)
        assert result.first is not None and result.first.field == "evaluation" and not result.accepted


def test_evaluation_after_the_last_step_and_before_the_first_counts() -> None:
    for step in (0, 2):
        result = compare(evaluated(*passes(1, step=step)), evaluated(*passes(2, step=step)))
        assert result.first is not None and result.first.step == step


def test_training_passes_are_told_by_their_losses() -> None:
    raw = evaluated(*passes(1, 2, evaluation=False))
    result = compare(raw, evaluated())
    assert result.identical and result.passes == 0


def test_printed_numbers_are_compared_where_all_else_is_equal() -> None:
    def printing(text: str, loss: float = 2.0) -> Trace:
        step = replace(STEP, loss=(loss,))
        return Trace([step], End("exit"), lines=[PrintedLine(text, "train.py:9", 1)])

    assert compare(printing("acc 5"), printing("acc 5")).identical
    result = compare(printing("acc 5"), printing("acc 6"))
    assert result.first is not None and not result.accepted
    assert (result.first.field, result.first.raw, result.first.lit) == ("printed line", "acc 5", "acc 6")
    assert compare(printing("acc 5"), printing("acc 6"), unsteady=frozenset({("acc #", 0)})).identical
    result = compare(printing("acc 5"), printing("acc 6", loss=3.0))
    assert result.first is not None and result.first.field == "loss"
    assert result.printed is None
