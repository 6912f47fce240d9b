from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import without_statement
from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule


class BackwardCall(Rule):
    """`loss.backward()` in a training step whose optimization is automatic.

    Why: The Trainer calls backward() on what training_step returns. A second call doubles the gradients or fails on
    the freed graph, and goes past precision, accumulation and distributed strategies.

    Ignore when: The gradients belong to an inner problem that the step solves for itself, as in meta-learning.
    """

    code, name = "LIT201", "backward-call"
    fix = "unsafe"
    severity = "error"
    message = "`{call}()` under automatic optimization: return the loss and let the Trainer call backward"
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
                    loss.backward()
                    return loss
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    return self.loss(batch)
            """,
        ),
        Example(
            bad="""
            import pytorch_lightning as pl


            class Lit(pl.LightningModule):
                def training_step(self, batch, batch_idx):
                    return self.step(batch)

                def step(self, batch):
                    loss = self.loss(batch)
                    loss.backward()
                    return loss
            """,
            good="""
            import pytorch_lightning as pl


            class Lit(pl.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False

                def training_step(self, batch, batch_idx):
                    self.optimizers().zero_grad()
                    self.manual_backward(self.loss(batch))
                    self.optimizers().step()
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of a method `backward` on something other than the module itself."""
        if not here.automatic:
            return
        match node:
            case ast.Call(func=ast.Attribute(value=target, attr="backward") as function, args=args):
                own = isinstance(target, ast.Name) and target.id == here.self_name
                of_object = isinstance(target, ast.Attribute) and bool(
                    args
                )  # self.hmm.backward(observations)
                if not own and not of_object and not _is_super(target):
                    yield self.found(node, here, without_statement(node, here), call=here.text(function))


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"
