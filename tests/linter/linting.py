"""What the linter's tests share: a text in, codes out."""

from __future__ import annotations

import textwrap

from litify_linter.check import lint
from litify_linter.config import default_codes
from litify_linter.reading.source import read_source
from litify_linter.rule import Finding


def findings(text: str, codes: frozenset[str] | None = None) -> list[Finding]:
    """Findings of all rules (or of `codes`) on an indented text."""
    return lint(read_source(textwrap.dedent(text).encode()), codes if codes is not None else default_codes())


def codes_of(text: str) -> list[str]:
    """Codes of the findings, in order of position."""
    return [finding.code for finding in findings(text)]


def in_module(
    body: str, imports: str = "from litify import LightningModule", base: str = "LightningModule"
) -> list[str]:
    """Codes of the findings on a module class with this body."""
    indented = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return codes_of(f"import torch\n{imports}\n\n\nclass Lit({base}):\n{indented}\n")


def in_step(body: str, hook: str = "training_step", manual: bool = False) -> list[str]:
    """Codes of the findings on a step with this body, which ends by returning a loss."""
    init = (
        "def __init__(self):\n    super().__init__()\n    self.automatic_optimization = False\n\n"
        if manual
        else ""
    )
    indented = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return in_module(f"{init}def {hook}(self, batch, batch_idx):\n{indented}\n    return self.loss(batch)")
