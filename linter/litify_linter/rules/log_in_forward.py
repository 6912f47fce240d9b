from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule


class LogInForward(Rule):
    """`self.log` in forward.

    Why: forward is what runs in prediction, export and by itself, where there is nothing to log to: the call raises in
    predict_step and warns without a Trainer. Steps log; forward computes.

    Ignore when: Never.
    """

    code, name = "LIT807", "log-in-forward"
    message = "`self.{call}` in forward raises when predicting; log in the steps"
    visits = (ast.Call,)
    hooks = frozenset({"forward"})
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def forward(self, x):
                    y = self.net(x)
                    self.log("mean", y.mean())
                    return y
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def forward(self, x):
                    return self.net(x)

                def training_step(self, batch, batch_idx):
                    y = self(batch)
                    self.log("mean", y.mean())
                    return self.loss(y)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """`self.log(...)` or `self.log_dict(...)`, if the class has no method of its own of this name."""
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="log" | "log_dict" as call)):
                if owner == here.self_name and here.module is not None and call not in here.module.methods:
                    if _is_conditional(node, here):
                        return
                    yield self.found(node, here, call=call)


def _is_conditional(node: ast.Call, here: Place) -> bool:
    """Whether a test stands around the call, or one that returns before it: it may tell predicting from training."""
    parent = here.file.parents.get(node)
    while parent is not None and parent is not here.method:
        if isinstance(parent, ast.If):
            return True
        parent = here.file.parents.get(parent)
    before = (s for s in (here.method.body if here.method is not None else ()) if s.lineno < node.lineno)
    return any(isinstance(s, ast.If) and isinstance(s.body[-1], ast.Return) for s in before)
