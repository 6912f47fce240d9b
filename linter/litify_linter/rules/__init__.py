"""The rules, one file each. A new file in this folder is a new rule: there is no list to add it to."""

from __future__ import annotations

import functools
import importlib
import os
import re
from typing import NamedTuple

from litify_linter.rule import Rule

FAMILIES = {
    "0": "The linter itself",
    "1": "Devices and dtypes",
    "2": "Optimization",
    "3": "Loops, modes and grad contexts",
    "4": "Distributed training",
    "5": "Data",
    "6": "Logging",
    "7": "Checkpoints",
    "8": "Shape of a module",
    "9": "Scripts",
}


_CODE_AND_NAME = re.compile(r'^    code, name = "(\w+)", "([\w-]+)"', re.MULTILINE)
_OWN_WORDS = re.compile(r"^    words = \(", re.MULTILINE)


class Entry(NamedTuple):
    """A rule as its file spells it."""

    name: str
    module: str
    of_lightning: bool  # looks only at files that speak of Lightning (it has no `words` of its own)


@functools.cache
def catalogue() -> dict[str, Entry]:
    """Code -> rule, read off the files: importing them all takes longer than linting a small project."""
    found = {}
    for entry in os.scandir(__path__[0]):
        if entry.name.endswith(".py") and entry.name != "__init__.py":
            with open(entry.path, encoding="utf-8") as file:
                text = file.read()
            for code, name in _CODE_AND_NAME.findall(text):
                found[code] = Entry(name, entry.name[:-3], _OWN_WORDS.search(text) is None)
    return dict(sorted(found.items()))


@functools.cache
def chosen_rules(codes: frozenset[str], lightning: bool) -> tuple[Rule, ...]:
    """The rules with these codes, by code; those that look at Lightning's classes only if they are wanted."""
    wanted = (code for code, entry in catalogue().items() if lightning or not entry.of_lightning)
    return tuple(_rule(code) for code in wanted if code in codes)


def all_rules() -> tuple[Rule, ...]:
    """One instance of every rule, by code."""
    return chosen_rules(frozenset(catalogue()), True)


@functools.cache
def _rule(code: str) -> Rule:
    contents = vars(importlib.import_module(f"{__name__}.{catalogue()[code].module}"))
    rules = (v() for v in contents.values() if isinstance(v, type) and issubclass(v, Rule) and v is not Rule)
    return next(rule for rule in rules if rule.code == code)


def severity(code: str) -> str:
    """How bad a finding of this code is: "error" or "warning". What cannot be parsed is an error."""
    rule = find_rule(code)
    return rule.severity if rule is not None else "error"


def find_rule(word: str) -> Rule | None:
    """The rule with this code or name, in whatever case, or None."""
    for code, entry in catalogue().items():
        if word.upper() == code or word.lower() == entry.name:
            return _rule(code)
    return None
