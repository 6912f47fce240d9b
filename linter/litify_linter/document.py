"""Rule pages, made from the rule classes: `python -m litify_linter.document docs/rules`."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from litify_linter.rule import Rule
from litify_linter.rules import FAMILIES, all_rules

FIXES = {
    "safe": "Fixed by `litify lint --fix` where the layout allows it: the program computes what it did.",
    "unsafe": "Fixed by `litify lint --fix --unsafe-fixes`: the program may then compute something else, as it should have.",
    None: "No automatic fix.",
}


def page(rule: Rule) -> str:
    """The page of one rule, in Markdown."""
    what, why, ignore = rule.documentation()
    parts = [f"# {rule.code}: {rule.name}", what, f"**Why.** {why}", f"**Ignore when.** {ignore}"]
    parts.append(f"Severity: {rule.severity}. {FIXES[rule.fix]}")
    for number, example in enumerate(rule.examples, 1):
        of = f" {number}" if len(rule.examples) > 1 else ""
        parts += [f"## Example{of}", _code(example.bad), "Nothing to find here:", _code(example.good)]
    parts.append(f"Silence one line with `# noqa: {rule.code}` or `# litify: ignore[{rule.code}]`.")
    return "\n\n".join(parts) + "\n"


def index() -> str:
    """The table of all rules, by family."""
    parts = ["# Rules"]
    for digit, family in FAMILIES.items():
        rules = [rule for rule in all_rules() if rule.code[3] == digit]
        if rules:
            rows = [
                f"| [{rule.code}]({rule.name}.md) | `{rule.name}` | {rule.documentation()[0]} | {rule.fix or ''} |"
                for rule in rules
            ]
            parts.append(
                "\n".join(
                    [
                        f"## LIT{digit}: {family}",
                        "",
                        "| code | name | finds | fix |",
                        "|---|---|---|---|",
                        *rows,
                    ]
                )
            )
    return "\n\n".join(parts) + "\n"


def pages() -> dict[str, str]:
    """File name -> text of every page."""
    return {"index.md": index(), **{f"{rule.name}.md": page(rule) for rule in all_rules()}}


def write(folder: Path) -> None:
    """Write all pages into a folder and remove pages of rules that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")
    for stale in folder.glob("*.md"):
        if stale.name not in wanted:
            stale.unlink()


def _code(text: str) -> str:
    return f"```python\n{textwrap.dedent(text).strip()}\n```"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m litify_linter.document FOLDER")
    write(Path(sys.argv[1]))
