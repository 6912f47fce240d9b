from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import without_statement
from litify_linter.reading.file import Place
from litify_linter.reading.objects import is_stranger
from litify_linter.rule import Example, Finding, Rule


class ZeroGradCall(Rule):
    """`zero_grad()` in a training step whose optimization is automatic.

    Why: The Trainer zeroes the gradients before each backward, or every `accumulate_grad_batches` batches. By hand it
    is done at the wrong time as soon as gradients are accumulated.

    Ignore when: The optimizer is one the Trainer does not know and that trains something beside the module. Classes that
    define `optimizer_zero_grad` have taken it into their own hands and are never reported.
    """

    code, name = "LIT203", "zero-grad-call"
    fix = "safe"
    message = "`{call}()` under automatic optimization: the Trainer zeroes gradients; remove it"
    visits = (ast.Call,)
    hooks = frozenset({"training_step", "on_train_batch_start", "on_train_batch_end"})
    follow_calls = True
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    optimizer = self.optimizers()
                    optimizer.zero_grad()
                    return self.loss(batch)
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    return self.loss(batch)

                def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
                    optimizer.zero_grad(set_to_none=False)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of a method `zero_grad`, which both optimizers and modules have."""
        if not here.automatic or here.module is None or here.module.find("optimizer_zero_grad") is not None:
            return
        match node:
            case ast.Call(func=ast.Attribute(value=target, attr="zero_grad") as function):
                if not is_stranger(target, here):
                    yield self.found(node, here, without_statement(node, here), call=here.text(function))
