"""Fixes in general: line ends, encodings, suppressions, and that a second run finds nothing to do."""

from __future__ import annotations

import ast
import textwrap

import pytest
from fixing import ALL, check_unchanged, comments, fixed, in_class
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litify_linter.fix import difference, fix_source
from litify_linter.rules import all_rules


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1  # noqa: LIT101", "x = 1"),
        ("x = 1  # noqa: LIT101, E501, LIT601", "x = 1  # noqa: E501"),
        ("x = 1  # noqa: LIT101 for a reason", "x = 1  # for a reason"),
        ("x = 1  # noqa: LIT101  # a reason", "x = 1  # a reason"),
        ("x = 1  # why  # noqa: LIT101", "x = 1  # why"),
        ("x = 1  # litify: ignore[LIT101, LIT601]", "x = 1"),
        ("# litify: noqa: LIT101\nx = 1", "x = 1"),
        ("x = 1  # litify: ignore", "x = 1"),
    ],
)
def test_unused_suppressions(before, after):
    assert fixed(f"import torch\n{before}\n") == f"import torch\n{after}\n"


def test_line_breaks_encoding_and_mark_stay():
    text = in_class(
        "def validation_step(self, batch, batch_idx):\n    print('größe')\n    self.eval()\n    x = 1"
    )
    for data in (
        text.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + text.encode(),
        b"# coding: latin-1\n" + text.encode("latin-1"),
    ):
        result = fix_source(data, "x.py", ALL)
        expected = data.replace(b"print", b"self.print").replace(b"        self.eval()\r\n", b"")
        assert result.data == expected.replace(b"        self.eval()\n", b"")


def test_suppressed_findings_are_not_fixed():
    check_unchanged("def validation_step(self, batch, batch_idx):\n    print(batch)  # noqa: LIT601")


def test_difference():
    lines = list(difference("a.py", b"x\ny\n", b"x\nz\n"))
    assert lines[:2] == ["--- a.py\n", "+++ a.py\n"] and "-y\n" in lines and "+z\n" in lines
    assert "\\ No newline at end of file\n" in list(difference("a.py", b"x", b"y"))[-1]


EXAMPLES = [(rule, example) for rule in all_rules() for example in rule.examples]


@pytest.mark.parametrize(
    ("rule", "example"), EXAMPLES, ids=[f"{r.code}-{r.examples.index(e)}" for r, e in EXAMPLES]
)
def test_examples_stay_whole(rule, example):
    """Whatever is fixed still parses, keeps its comments, and a second run changes nothing."""
    text = textwrap.dedent(example.bad)
    result = fix_source(text.encode(), "x.py", ALL, unsafe=True)
    assert (result.data.decode() != text) == bool(result.counts)
    if rule.code != "LIT001":
        assert comments(fixed(text)) == comments(text)


@pytest.mark.parametrize("rule", [rule for rule in all_rules() if rule.fix], ids=lambda rule: rule.code)
def test_a_rule_that_says_it_has_fixes_has_one(rule):
    """And what it has fixed it does not find any more."""
    done = False
    for example in rule.examples:
        text = textwrap.dedent(example.bad)
        safe = fix_source(text.encode(), "x.py", ALL, unsafe=False)
        result = fix_source(text.encode(), "x.py", ALL, unsafe=True)
        count = result.counts[(rule.code, rule.name)]
        assert bool(safe.counts) == (rule.fix == "safe") or not count
        done |= count > 0 and rule.code not in {f.code for f in result.checked.findings}
    assert done


PIECES = [
    "x.cuda()",
    "print(1)",
    "self.eval()",
    "loss.backward()",
    "pass",
    "with torch.no_grad():\n    self.eval()",
]
PIECES += [
    "self.log('a', loss.item())",
    "x = 1  # noqa: LIT101",
    "if x:\n    self.eval(); print(2)",
    "return loss",
]
PIECES += [
    "for i in x:\n    self.zero_grad()",
    "'''\n  text\n'''",
    "# a comment",
    "with torch.no_grad(), a: print(3)",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8), st.sampled_from(["training", "validation"]))
def test_assembled_steps(pieces, stage):
    body = textwrap.indent("\n".join([*pieces, "x = 1"]), "    ")
    text = in_class(f"def {stage}_step(self, batch, batch_idx):\n{body}")
    for unsafe in (False, True):
        result = fixed(text, unsafe)
        assert ast.get_docstring(ast.parse(result)) is None
