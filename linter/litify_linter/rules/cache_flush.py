from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import without_statement
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import HOOKS, STEPS
from litify_linter.rule import Example, Finding, Rule


class CacheFlush(Rule):
    """`torch.cuda.empty_cache()` or `gc.collect()` in every batch.

    Why: The allocator keeps freed memory because the next batch needs it again: emptied, it asks the driver, which waits for
    all kernels. A step becomes slower by milliseconds, and no larger model fits. Memory that grows is held by a reference.

    Ignore when: Batches of very different sizes fragment the memory, and the flush was measured to help. Under an `if`, or where
    an error is caught, it is never reported.
    """

    code, name = "LIT106", "cache-flush"
    message = "`{call}` in `{hook}` stalls each batch; memory that grows is held by a reference"
    fix = "unsafe"
    visits = (ast.Call,)
    hooks = (
        STEPS
        | {hook for hook in HOOKS if "batch_start" in hook or "batch_end" in hook}
        | {"on_after_backward"}
    )
    examples = (
        Example(
            bad="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    torch.cuda.empty_cache()
                    return self.loss(batch)
            """,
            good="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    if batch_idx % 500 == 0:
                        torch.cuda.empty_cache()
                    return self.loss(batch)

                def on_validation_epoch_end(self):
                    torch.cuda.empty_cache()
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """One of these calls, in each batch whatever happens."""
        if not isinstance(node, ast.Call):
            return
        name = here.resolve(node.func)
        if name in {"torch.cuda.empty_cache", "gc.collect"} and not here.conditional(node):
            yield self.found(node, here, without_statement(node, here), call=name, hook=here.hook)
