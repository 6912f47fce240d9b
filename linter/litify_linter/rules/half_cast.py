from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import HOOKS
from litify_linter.reading.objects import is_module
from litify_linter.rule import Example, Finding, Rule


class HalfCast(Rule):
    """A LightningModule that casts itself or a submodule to 16 bit: `self.half()`, `self.net.to(torch.bfloat16)`.

    Why: `Trainer(precision="16-true")` or "bf16-true" makes the module in that precision, and casts the batches to it as
    well; "16-mixed" keeps the weights in 32 bit, where the optimizer needs them. A cast in the module can be chosen by no
    flag, and fails at the first batch, which is still in 32 bit.

    Ignore when: A frozen part, such as a large encoder, shall be in 16 bit whatever the precision of the rest.
    """

    code, name = "LIT104", "half-cast"
    message = "`{call}` fixes the precision in the module; choose it by `Trainer(precision=...)`"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            from litify import LightningModule
            from torch import nn


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(2, 1)
                    self.half()
            """,
            good="""
            from litify import LightningModule
            from torch import nn


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Linear(2, 1).double()

                def training_step(self, batch, batch_idx):
                    return self.loss(self.net(batch), batch.mask.half())
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A cast to a 16 bit type of the module, of one of its attributes that is a module, or of a new module."""
        if here.module is None or not _runs_in_training(here):
            return
        match node:
            case ast.Call(func=ast.Attribute(value=target, attr="half" | "bfloat16" as cast), args=[]):
                shown = f".{cast}()"
            case ast.Call(func=ast.Attribute(value=target, attr="to"), args=[dtype], keywords=[]) | ast.Call(
                func=ast.Attribute(value=target, attr="to"),
                args=[],
                keywords=[ast.keyword(arg="dtype", value=dtype)],
            ) if here.resolve(dtype) in {"torch.float16", "torch.half", "torch.bfloat16"}:
                shown = f".to({here.resolve(dtype)})"
            case _:
                return
        if is_module(target, here):
            yield self.found(node, here, call=shown)


def _runs_in_training(here: Place) -> bool:
    """Whether a hook, the constructor or forward leads here: what only users call they may choose by."""
    assert here.module is not None
    hook = here.hook or ""
    return hook in HOOKS | {"__init__", "forward"} or hook in here.module.reached_from
