"""Every rule finds what its own examples say, and its words are whole: they are its page and its --explain."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from linting import findings

from litify_linter import rules
from litify_linter.document import pages
from litify_linter.reading.source import read_source
from litify_linter.rule import Rule
from litify_linter.rules import FAMILIES, all_rules, catalogue, find_rule

DOCS = Path(__file__).parents[2] / "docs" / "rules"
EXAMPLES = [(rule, example) for rule in all_rules() for example in rule.examples]
NAMES = [f"{rule.code}-{rule.examples.index(example)}" for rule, example in EXAMPLES]


@pytest.mark.parametrize(("rule", "example"), EXAMPLES, ids=NAMES)
def test_bad_example_is_found(rule, example):
    assert rule.code in {finding.code for finding in findings(example.bad)}


@pytest.mark.parametrize(("rule", "example"), EXAMPLES, ids=NAMES)
def test_bad_example_shows_nothing_else(rule, example):
    assert {finding.code for finding in findings(example.bad)} == {rule.code}


@pytest.mark.parametrize(("rule", "example"), EXAMPLES, ids=NAMES)
def test_good_example_is_clean_under_all_rules(rule, example):
    assert findings(example.good) == []


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_words_of_a_rule(rule):
    assert re.fullmatch(r"LIT\d{3}", rule.code)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", rule.name)
    assert rule.code[3] in FAMILIES
    assert not rule.message.endswith(".")
    assert all(part.endswith(".") for part in rule.documentation())
    paragraphs = textwrap.dedent(rule.__doc__ or "").split("\n\n")
    assert [p.strip().partition(":")[0] for p in paragraphs[1:]] == ["Why", "Ignore when"]
    assert rule.examples


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_messages_are_filled_in_and_name_the_place(rule):
    for example in rule.examples:
        lines = read_source(textwrap.dedent(example.bad).encode()).lines
        for finding in findings(example.bad):
            assert "{" not in re.sub(r"`[^`]*`", "", finding.message)
            assert 1 <= finding.line <= finding.end_line <= len(lines)
            assert 1 <= finding.column <= len(lines[finding.line - 1]) + 1


def test_codes_and_names_are_unique():
    assert (
        len({rule.code for rule in all_rules()})
        == len({rule.name for rule in all_rules()})
        == len(all_rules())
    )


def test_the_catalogue_is_what_the_classes_say():
    said = {code: (entry.name, entry.of_lightning) for code, entry in catalogue().items()}
    assert said == {rule.code: (rule.name, rule.words == Rule.words) for rule in all_rules()}
    files = {path.stem for path in Path(rules.__file__).parent.glob("*.py")} - {"__init__"}
    assert {entry.module for entry in catalogue().values()} == files


def test_rules_are_found_by_code_and_name():
    assert find_rule("lit101") is find_rule("device-move") is not None
    assert find_rule("LIT999") is None


def test_pages_are_up_to_date():
    """`python -m litify_linter.document docs/rules` makes them."""
    assert {path.name: path.read_text() for path in DOCS.glob("*.md")} == pages()
