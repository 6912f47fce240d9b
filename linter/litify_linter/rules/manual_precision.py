from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import STEPS
from litify_linter.rule import Example, Finding, Rule


class ManualPrecision(Rule):
    """autocast or a GradScaler in a LightningModule whose optimization is automatic.

    Why: `Trainer(precision="16-mixed")` or "bf16-mixed" wraps the steps and scales the loss itself; done twice, the
    loss is scaled twice, and the precision can no longer be chosen by a flag.

    Ignore when: One part of a step needs another precision than the rest. `autocast(enabled=False)`,
    and one that is enabled by a comparison such as `epoch > 3`, is never reported.
    """

    code, name = "LIT103", "manual-precision"
    message = "`{call}` does by hand what `Trainer(precision=...)` does"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    with torch.autocast("cuda", dtype=torch.float16):
                        return self.loss(batch)
            """,
            good="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    with torch.autocast("cuda", enabled=False):
                        distances = self.distances(batch.float())
                    return self.loss(distances)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of autocast in a step, or of GradScaler anywhere in the class."""
        if not here.automatic or not isinstance(node, ast.Call):
            return
        last = _amp_name(here.resolve(node.func))
        if last == "GradScaler" or (last == "autocast" and here.hook in STEPS):
            if any(k.arg == "enabled" and _is_own(k.value) for k in node.keywords):
                return
            yield self.found(node, here, call=last)


def _is_own(enabled: ast.expr) -> bool:
    """Off, or on under a condition of the step's own such as `epoch > 3`: no flag of the Trainer says that."""
    if isinstance(enabled, ast.Constant):
        return enabled.value is not True
    return isinstance(enabled, ast.Compare)


def _amp_name(name: str | None) -> str | None:
    """One of "autocast" and "GradScaler" for torch's names of them, old and new."""
    if name is None or not name.startswith(("torch.autocast", "torch.amp.", "torch.cuda.amp.")):
        return None
    return name.rpartition(".")[2]
