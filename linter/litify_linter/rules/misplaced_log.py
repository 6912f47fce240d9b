from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule

# Where `self.log` raises: no loop is running whose results it could join (Lightning 2.6, _FxValidator).
OUTSIDE_LOOPS = frozenset(
    {
        "__init__",
        "configure_callbacks",
        "configure_model",
        "configure_optimizers",
        "lr_scheduler_step",
        "on_after_batch_transfer",
        "on_before_batch_transfer",
        "on_fit_end",
        "on_fit_start",
        "on_load_checkpoint",
        "on_predict_batch_end",
        "on_predict_batch_start",
        "on_predict_end",
        "on_predict_epoch_end",
        "on_predict_epoch_start",
        "on_predict_start",
        "on_save_checkpoint",
        "on_test_end",
        "on_train_end",
        "on_validation_end",
        "predict_step",
        "prepare_data",
        "setup",
        "teardown",
        "test_dataloader",
        "train_dataloader",
        "transfer_batch_to_device",
        "val_dataloader",
    }
)


class MisplacedLog(Rule):
    """`self.log` in a hook where nothing can be logged.

    Why: Outside the training, validation and test loops there is no batch or epoch that a value could belong to: the
    call raises. The last hooks that take one are on_train_epoch_end, on_validation_epoch_end and on_test_epoch_end.

    Ignore when: The method is never called by a Trainer.
    """

    code, name = "LIT603", "misplaced-log"
    severity = "error"
    message = "`self.{call}` raises in `{hook}`; log in a step or in an epoch hook"
    visits = (ast.Call,)
    hooks = OUTSIDE_LOOPS
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def on_validation_end(self):
                    self.log("best", self.best)
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def on_validation_epoch_end(self):
                    self.log("best", self.best)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """`self.log(...)` or `self.log_dict(...)`."""
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="log" | "log_dict" as call)):
                if owner == here.self_name and here.lightning and call not in here.lightning.methods:
                    yield self.found(node, here, call=call, hook=here.hook)
