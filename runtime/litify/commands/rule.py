"""`litify rule`: what a lint rule finds, why, when to ignore it, and an example."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from litify_linter.rule import Rule


@click.command(epilog="Example: litify rule LIT101")
@click.argument("rule", required=False)
@click.option("--all", "every", is_flag=True, help="All rules.")
@click.option("--output-format", type=click.Choice(("text", "json")), default="text", show_default=True)
def rule(rule: str | None, every: bool, output_format: str) -> int:
    """Explain a lint rule, given by its code or its name; without one, list them all.

    Exit codes: 0, or 2 for a rule that does not exist.
    """
    if output_format == "json":
        click.echo(json.dumps(_as_data(rule if not every else None), indent=2))
    elif every:
        click.echo(explained("ALL"), nl=False)
    elif rule is None:
        click.echo(_listed(), nl=False)
    else:
        click.echo(explained(rule), nl=False)
    return 0


class Unusable(click.UsageError):
    """Wrong use or unreadable input: one line on standard error, exit code 2."""


def explained(word: str) -> str:
    """The page of a rule, or of "ALL". Raises Unusable where there is none."""
    from litify_linter.document import page
    from litify_linter.rules import all_rules

    if word.upper() == "ALL":
        return "\n".join(page(one) for one in all_rules())
    return page(_found(word))


def _found(word: str) -> Rule:
    from litify_linter.rules import all_rules, find_rule

    found = find_rule(word)
    if found is None:
        codes = ", ".join(f"{one.code} ({one.name})" for one in all_rules())
        raise Unusable(f"no rule {word!r}; there are {codes}")
    return found


def _listed() -> str:
    from litify_linter.rules import all_rules

    rules = all_rules()
    width = max(len(one.name) for one in rules)
    return "".join(f"{one.code}  {one.name:{width}}  {one.documentation()[0]}\n" for one in rules)


def _as_data(word: str | None) -> list[dict[str, str | None]]:
    from litify_linter.rules import all_rules

    found = all_rules() if word is None else (_found(word),)
    return [
        {
            "code": one.code,
            "name": one.name,
            "severity": one.severity,
            "fix": one.fix,
            "what": one.documentation()[0],
            "why": one.documentation()[1],
            "ignore_when": one.documentation()[2],
        }
        for one in found
    ]
