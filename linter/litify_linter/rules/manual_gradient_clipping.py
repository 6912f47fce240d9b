from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import without_statement
from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule


class ManualGradientClipping(Rule):
    """Gradients clipped in a training step whose optimization is automatic.

    Why: In training_step the gradients of this batch do not exist yet: the Trainer computes them after the step
    returns. What gets clipped are those of the last batch, or nothing. `Trainer(gradient_clip_val=...)` clips at the
    right moment, after unscaling.

    Ignore when: The clipped gradients are of an inner problem that the step solves for itself.
    """

    code, name = "LIT205", "manual-gradient-clipping"
    fix = "unsafe"
    severity = "error"
    message = (
        "`{call}` in a training step clips before the gradients exist; use `Trainer(gradient_clip_val=...)`"
    )
    visits = (ast.Call,)
    hooks = frozenset({"training_step"})
    follow_calls = True
    examples = (
        Example(
            bad="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    loss = self.loss(batch)
                    torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)
                    return loss
            """,
            good="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    return self.loss(batch)

                def configure_gradient_clipping(self, optimizer, gradient_clip_val, gradient_clip_algorithm):
                    torch.nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of one of torch's clipping functions."""
        if here.automatic and isinstance(node, ast.Call):
            name = here.resolve(node.func) or ""
            if name.startswith("torch.nn.utils.") and name.rpartition(".")[2].startswith("clip_grad"):
                yield self.found(node, here, without_statement(node, here), call=name.rpartition(".")[2])
