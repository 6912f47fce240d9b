from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.objects import is_optimizer
from litify_linter.reading.scopes import parameters
from litify_linter.rule import Example, Finding, Rule


class SeveralOptimizers(Rule):
    """configure_optimizers returns several optimizers although the optimization is automatic.

    Why: Since Lightning 2.0 automatic optimization steps one optimizer; with more, fit raises. Which of them a batch trains
    is for the step to say: manual optimization, `self.optimizers()`, `self.toggle_optimizer(...)`.

    Ignore when: A subclass in another file sets `automatic_optimization = False`.
    """

    code, name = "LIT209", "several-optimizers"
    message = "{count} optimizers under automatic optimization; set `self.automatic_optimization = False` and step them yourself"
    severity = "error"
    visits = (ast.Return,)
    hooks = frozenset({"configure_optimizers"})
    examples = (
        Example(
            bad="""
            from litify import LightningModule
            from torch import optim


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    return self.loss(batch)

                def configure_optimizers(self):
                    first = optim.Adam(self.generator.parameters())
                    second = optim.Adam(self.critic.parameters())
                    return [first, second], []
            """,
            good="""
            from litify import LightningModule
            from torch import optim


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    return self.loss(batch)

                def configure_optimizers(self):
                    optimizer = optim.Adam(self.parameters())
                    return [optimizer], [optim.lr_scheduler.StepLR(optimizer, 1)]


            class Both(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False

                def configure_optimizers(self):
                    return optim.Adam(self.generator.parameters()), optim.Adam(self.critic.parameters())
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A list or tuple of optimizers, alone or before the list of schedulers."""
        if not here.automatic or not isinstance(node, ast.Return) or here.method is not here.scope:
            return
        value = node.value
        if (
            isinstance(value, ast.Tuple)
            and len(value.elts) == 2
            and isinstance(value.elts[0], ast.List | ast.Tuple)
        ):
            value = value.elts[0]
        if not isinstance(value, ast.List | ast.Tuple) or len(value.elts) < 2:
            return
        if all(is_optimizer(element, here) for element in value.elts) and _trains(here):
            yield self.found(node, here, count=len(value.elts))


def _trains(here: Place) -> bool:
    """Whether the class has a training_step, of today's signature: the old one is another rule's."""
    assert here.lightning is not None
    step = here.lightning.methods.get("training_step")
    return step is not None and "optimizer_idx" not in parameters(step)
