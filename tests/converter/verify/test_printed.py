"""Numbers on printed lines: which are compared, which mean nothing, and what is only rounding."""

from __future__ import annotations

import pytest

from litify_converter.verify.printed import PrintedComparison, compare_printed, unsteady_columns
from litify_converter.verify.trace import PrintedLine


def lines(*texts: str) -> list[PrintedLine]:
    return [PrintedLine(text, f"train.py:{number}", step=number) for number, text in enumerate(texts)]


def compared(raw: str, lit: str) -> PrintedComparison:
    return compare_printed(lines(raw), lines(lit))


@pytest.mark.parametrize(
    ("raw", "lit"),
    [
        ("accuracy 270/300 (90%)", "accuracy 271/300 (90%)"),
        ("loss: 0.4471", "loss: 0.4473"),
        ("loss: 1e-3", "loss: 2e-3"),
        ("accuracy 97.3 %", "accuracy 97.4 %"),
        ("loss: -0.5", "loss: 0.5"),
        ("loss: 0.5", "loss: nan"),
        ("tensor(2.5)", "tensor(2.7)"),
    ],
)
def test_another_number_on_the_same_line_is_a_difference(raw: str, lit: str) -> None:
    result = compared(raw, lit)
    assert (result.lines, len(result.differences)) == (1, 1)
    difference = result.differences[0]
    assert (difference.raw.text, difference.lit.text) == (raw, lit)
    assert difference.relative > 0


@pytest.mark.parametrize(
    ("raw", "lit", "rounded"),
    [
        ("loss: 0.4471", "loss: 0.4471", 0),
        ("loss:  0.5 ", "loss: 0.50", 0),  # padding and trailing zeros are no difference
        ("loss: 0.4471", "loss: 0.4472", 1),  # the last digit
        ("loss: 2.3025851249694824", "loss: 2.302585", 1),
        ("loss: nan", "loss: nan", 0),
    ],
)
def test_equal_and_rounded_numbers(raw: str, lit: str, rounded: int) -> None:
    result = compared(raw, lit)
    assert (result.lines, result.rounded, result.differences) == (1, rounded, ())


@pytest.mark.parametrize(
    ("raw", "lit"),
    [
        ("epoch 3 took 1.5 s", "epoch 3 took 2.5 s"),
        ("epoch 3 Time 0.123 ( 0.234)", "epoch 3 Time 0.321 ( 0.234)"),
        ("epoch 3, 120.5 images/s", "epoch 3, 99.1 images/s"),
        ("epoch 3 ms/batch 5.21 | loss 0.5", "epoch 3 ms/batch 9.99 | loss 0.5"),
        ("12:01:33 epoch 3", "12:05:01 epoch 3"),
        ("2024-01-02 epoch 3", "2024-01-03 epoch 3"),
    ],
)
def test_times_mean_nothing(raw: str, lit: str) -> None:
    result = compared(raw, lit)
    assert (result.lines, result.differences) == (1, ())


@pytest.mark.parametrize(
    ("raw", "lit"),
    [
        ("no number here", "no number here"),
        ("conv1 is a name", "conv1 is a name"),
        ("loss 0.5", "val_loss 0.7"),  # only one of them prints it
    ],
)
def test_what_only_one_prints_is_not_compared(raw: str, lit: str) -> None:
    assert compared(raw, lit) == PrintedComparison(0, 0, (), ())


def test_lines_printed_unequally_often_are_named_not_compared() -> None:
    result = compare_printed(lines("loss 1", "loss 2", "done 5"), lines("loss 3", "done 5"))
    assert (result.lines, result.differences, result.uneven) == (1, (), ("loss #",))


def test_lines_of_one_form_are_compared_in_their_order() -> None:
    result = compare_printed(lines("loss 1", "acc 7", "loss 2"), lines("loss 1", "loss 3", "acc 7"))
    (difference,) = result.differences
    assert (difference.raw.step, difference.raw_number, difference.lit_number) == (2, "2", "3")


def test_what_the_original_does_not_print_again_is_left_out() -> None:
    """Memory in use, a process id, a random address: no script repeats those."""
    raw, again = lines("pid 17 loss 0.5", "pid 18 loss 0.4"), lines("pid 17 loss 0.5", "pid 99 loss 0.4")
    unsteady = unsteady_columns(raw, again)
    assert unsteady == {("pid # loss #", 0)}
    assert compare_printed(raw, lines("pid 3 loss 0.5", "pid 4 loss 0.4"), unsteady).differences == ()
    assert compare_printed(raw, lines("pid 3 loss 0.5", "pid 4 loss 0.1"), unsteady).differences


def test_lines_that_the_original_does_not_print_as_often_again_are_left_out() -> None:
    assert unsteady_columns(lines("retry 1", "retry 2"), lines("retry 1")) == {("retry #", 0)}
