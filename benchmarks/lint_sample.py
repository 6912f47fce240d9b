"""Findings of `litify lint` on public code, drawn at random for reading by eye.

    python benchmarks/lint_sample.py FOLDER [--number 200] [--most 25] [--share 200] [--seed 1] [--context 0]

FOLDER holds checkouts named owner+repository. All are linted, and of all findings `--number` are drawn: in random order,
at most `--most` of one rule and `--share` of one repository, so that the common ones do not crowd out the rare. They come as the rows of a Markdown table,
to which the reader adds a verdict and a reason (docs/lint-sample.md is such a table), or, with `--context N`, each with N
lines of source above and below it.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from litify_linter import Checked, Finding, Settings
from litify_linter.run import check_paths

# Of the frameworks only what uses them, not what they are made of.
PARTS = {
    "Lightning-AI+pytorch-lightning": (
        "examples",
        "docs",
        "src/lightning/pytorch/demos",
        "tests/tests_pytorch",
    ),
    "pyg-team+pytorch_geometric": ("examples", "benchmark", "test"),
}


@dataclass(frozen=True)
class Drawn:
    """One finding and where it stands."""

    repository: str
    path: str  # within the repository
    finding: Finding
    checked: Checked

    @property
    def row(self) -> str:
        """A row of the table, verdict and reason left open."""
        cell = f"cell {self.finding.cell}:" if self.finding.cell else ""
        place = f"{self.path}:{cell}{self.finding.line}"
        return f"| {self.repository.replace('+', '/')} | {place} | {self.finding.code} |  |  |"

    def shown(self, context: int) -> str:
        """The finding with the lines around it."""
        line = self.checked.line_of(self.finding)
        first = max(1, line - context)
        around = self.checked.lines[first - 1 : line + context]
        head = f"## {self.repository} {self.path}:{line} {self.finding.code} {self.finding.message}"
        body = (f"{'>' if first + i == line else ' '} {first + i:4} {text}" for i, text in enumerate(around))
        return "\n".join([head, *body])


def findings(folder: Path) -> list[Drawn]:
    """All findings in all checkouts, in an order that does not depend on the file system."""
    found = []
    for repository in sorted(path for path in folder.iterdir() if path.is_dir()):
        parts = [repository / part for part in PARTS.get(repository.name, (".",))]
        result = check_paths([str(part) for part in parts if part.exists()], lambda _: Settings())
        for checked in sorted(result.checked, key=lambda item: item.path):
            path = Path(checked.path).resolve().relative_to(repository.resolve()).as_posix()
            found += [Drawn(repository.name, path, finding, checked) for finding in checked.findings]
    return found


def draw(every: list[Drawn], number: int, most: int, share: int, seed: int) -> list[Drawn]:
    """At most `number` of them, at most `most` of one rule and `share` of one repository, sorted by place."""
    shuffled = random.Random(seed).sample(every, len(every))
    of_rule: Counter[str] = Counter()
    of_repository: Counter[str] = Counter()
    drawn: list[Drawn] = []
    for one in shuffled:
        fits = of_rule[one.finding.code] < most and of_repository[one.repository] < share
        if len(drawn) < number and fits:
            of_rule[one.finding.code] += 1
            of_repository[one.repository] += 1
            drawn.append(one)
    return sorted(drawn, key=lambda one: (one.repository, one.path, one.finding.line, one.finding.code))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--most", type=int, default=25)
    parser.add_argument("--share", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--context", type=int, default=0)
    options = parser.parse_args()
    every = findings(options.folder)
    drawn = draw(every, options.number, options.most, options.share, options.seed)
    for one in drawn:
        print(one.shown(options.context) if options.context else one.row)
    print(f"\n{len(drawn)} of {len(every)} findings")


if __name__ == "__main__":
    main()
