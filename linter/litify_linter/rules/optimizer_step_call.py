from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import without_statement
from litify_linter.reading.file import Place
from litify_linter.reading.objects import is_optimizer
from litify_linter.rule import Example, Finding, Rule


class OptimizerStepCall(Rule):
    """`optimizer.step()` in a training step whose optimization is automatic.

    Why: The Trainer steps the optimizers of configure_optimizers after each batch, or after `accumulate_grad_batches`
    of them. A step by hand comes on top of that, before the gradients of this batch exist.

    Ignore when: The optimizer is one the Trainer does not know and that trains something beside the module.
    """

    code, name = "LIT202", "optimizer-step-call"
    fix = "unsafe"
    severity = "error"
    message = "`{call}()` under automatic optimization: the Trainer steps; for steps of your own set `self.automatic_optimization = False`"
    visits = (ast.Call,)
    hooks = frozenset({"training_step", "on_train_batch_start", "on_train_batch_end"})
    follow_calls = True
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    loss = self.loss(batch)
                    self.optimizers().step()
                    return loss
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    self.environment.step()
                    return self.loss(batch)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """`step()` on an optimizer, or on a scaler with an optimizer as its argument."""
        if not here.automatic:
            return
        match node:
            case ast.Call(func=ast.Attribute(value=target, attr="step") as function, args=args):
                if is_optimizer(target, here) or (len(args) == 1 and is_optimizer(args[0], here)):
                    yield self.found(node, here, without_statement(node, here), call=here.text(function))
