"""The rules, one file each. A new file in this folder is a new rule: there is no list to add it to."""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
import re

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


@functools.cache
def catalogue() -> dict[str, str]:
    """Code -> name of every rule, read off the files: a run that finds all in its cache never imports the rules."""
    found: dict[str, str] = {}
    for entry in os.scandir(__path__[0]):
        if entry.name.endswith(".py") and entry.name != "__init__.py":
            with open(entry.path, encoding="utf-8") as file:
                found.update(_CODE_AND_NAME.findall(file.read()))
    return dict(sorted(found.items()))


@functools.cache
def all_rules() -> tuple[Rule, ...]:
    """One instance of every rule, by code."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        contents = vars(importlib.import_module(f"{__name__}.{module.name}"))
        found += [
            value()
            for value in contents.values()
            if isinstance(value, type)
            and issubclass(value, Rule)
            and value.__module__ == f"{__name__}.{module.name}"
        ]
    return tuple(sorted(found, key=lambda rule: rule.code))


def severity(code: str) -> str:
    """ "error" or "warning" for a finding of this code; what cannot be parsed is an error."""
    rule = find_rule(code)
    return rule.severity if rule is not None else "error"


def find_rule(word: str) -> Rule | None:
    """The rule with this code or name, in whatever case, or None."""
    for rule in all_rules():
        if word.upper() == rule.code or word.lower() == rule.name:
            return rule
    return None
