"""Suppression comments: what they silence, and that a useless one is reported."""

from __future__ import annotations

import pytest
from linting import findings

from litify_linter.config import default_codes

FILE = """\
{top}
from litify import LightningModule


class Lit(LightningModule):
    def validation_step(self, batch, batch_idx):
{above}
        print(batch.cuda()){comment}
"""
BOTH = ["LIT601", "LIT101"]


def codes(comment: str = "", above: str = "", top: str = "") -> list[str]:
    text = FILE.format(comment=f"  {comment}", above=f"        {above}", top=top)
    return [finding.code for finding in findings(text)]


@pytest.mark.parametrize(
    ("comment", "left"),
    [
        ("", BOTH),
        ("# noqa", []),
        ("#noqa", []),
        ("# NOQA", []),
        ("# type: ignore # noqa", []),
        ("# noqa: LIT101", ["LIT601"]),
        ("# noqa:LIT101,LIT601", []),
        ("# noqa: LIT101 LIT601", []),
        ("# noqa: E501, lit101", ["LIT601"]),
        ("# noqa: LIT101 since the GPU is ours", ["LIT601"]),
        ("# noqa: LIT", BOTH),
        ("# noqa: E501", BOTH),
        ("# noqa: F401", BOTH),
        ("# noqa: because", BOTH),
        ("# litify: ignore", []),
        ("# litify: ignore[LIT101]", ["LIT601"]),
        ("# litify: ignore[LIT101, print-call]", []),
        ("# litify: ignore[device-move]", ["LIT601"]),
        ("# nothing about noqal", BOTH),
    ],
)
def test_on_the_line(comment, left):
    assert codes(comment) == left


def test_ignore_on_the_line_above():
    assert codes(above="# litify: ignore[LIT601]") == ["LIT101"]
    assert codes(above="# noqa: LIT601") == ["LIT001", *BOTH]


@pytest.mark.parametrize(
    ("comment", "left"),
    [
        ("# litify: noqa", []),
        ("# flake8: noqa", []),
        ("# litify: noqa: LIT101", ["LIT601"]),
        ("# litify: noqa: LIT101,LIT601", []),
    ],
)
def test_for_the_whole_file(comment, left):
    assert codes(top=comment) == left


def test_in_a_string_it_is_no_comment():
    assert codes(top='TEXT = "# litify: noqa"') == BOTH


def test_on_any_line_of_what_was_found():
    text = """
    from litify import LightningModule

    class Lit(LightningModule):
        def validation_step(self, batch, batch_idx):
            print(
                batch,
            )  # noqa: LIT601
    """
    assert findings(text) == []


def test_inside_a_loop_it_does_not_silence_the_loop():
    text = """
    import torch
    for x in data:  {}
        loss.backward()  # noqa
        optimizer.step()
    """
    assert [f.code for f in findings(text.format(""))] == ["LIT901"]
    assert findings(text.format("# noqa: LIT901")) == []


class TestUnused:
    TEXT = "import torch\nx = 1  # noqa: {}\n"

    def test_reported_with_its_code(self):
        found = findings(self.TEXT.format("LIT101,LIT601"))
        assert [f.code for f in found] == ["LIT001", "LIT001"]
        assert "LIT101" in found[0].message and "LIT601" in found[1].message
        assert (found[0].line, found[0].column) == (2, 8)

    @pytest.mark.parametrize("other", ["E501", "LIT001", "F401,RUF100"])
    def test_other_tools_codes_are_none_of_our_business(self, other):
        assert findings(self.TEXT.format(other)) == []

    def test_codes_that_did_not_run_are_not_unused(self):
        assert findings(self.TEXT.format("LIT101"), default_codes() - {"LIT101"}) == []

    @pytest.mark.parametrize(
        ("comment", "found"),
        [("# litify: ignore", ["LIT001"]), ("# litify: noqa", []), ("# noqa", []), ("# flake8: noqa", [])],
    )
    def test_without_codes_only_our_own(self, comment, found):
        text = f"import torch\nx = 1  {comment}\n"
        assert [f.code for f in findings(text)] == found
        assert findings(text, default_codes() - {"LIT101"}) == []

    def test_for_a_whole_file(self):
        found = findings("# litify: noqa\nimport torch\n")
        assert [f.message for f in found] == ["Unused suppression: the comment finds nothing here; remove it"]
        assert findings("# litify: noqa\n" + FILE.format(top="", above="", comment="")) == []

    def test_can_be_silenced(self):
        assert findings(self.TEXT.format("LIT101,LIT001")) == []
