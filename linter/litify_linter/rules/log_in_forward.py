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
                    yield self.found(node, here, call=call)
