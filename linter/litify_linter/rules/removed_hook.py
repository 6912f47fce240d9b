from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import CALLBACK, MODULE
from litify_linter.rule import Example, Finding, Rule

# Hook that Lightning 2.0 removed -> what to use.
REMOVED = {
    "training_epoch_end": "on_train_epoch_end",
    "validation_epoch_end": "on_validation_epoch_end",
    "test_epoch_end": "on_test_epoch_end",
    "training_end": "on_train_epoch_end",
    "validation_end": "on_validation_epoch_end",
    "test_end": "on_test_epoch_end",
    "training_step_end": "training_step",
    "validation_step_end": "validation_step",
    "test_step_end": "test_step",
    "on_epoch_start": "on_train_epoch_start",
    "on_epoch_end": "on_train_epoch_end",
    "on_batch_start": "on_train_batch_start",
    "on_batch_end": "on_train_batch_end",
    "on_pretrain_routine_start": "on_fit_start",
    "on_pretrain_routine_end": "on_fit_start",
    "on_hpc_save": "on_save_checkpoint",
    "on_hpc_load": "on_load_checkpoint",
    "on_train_dataloader": "train_dataloader",
    "on_val_dataloader": "val_dataloader",
    "on_test_dataloader": "test_dataloader",
    "on_post_move_to_device": "setup",
    "on_configure_sharded_model": "configure_model",
    "tng_dataloader": "train_dataloader",
    "on_keyboard_interrupt": "on_exception",
    "on_init_start": "setup",
    "on_init_end": "setup",
}
CALLBACK_ONLY = frozenset({"on_keyboard_interrupt", "on_init_start", "on_init_end"})
OF_BOTH = frozenset({"on_epoch_start", "on_epoch_end", "on_batch_start", "on_batch_end"}) | frozenset(
    {"on_pretrain_routine_start", "on_pretrain_routine_end"}
)


class RemovedHook(Rule):
    """A hook that Lightning 2.0 removed: `training_epoch_end`, `on_epoch_end` and others.

    Why: Lightning 2.x raises for the first, and never calls most of the others, so that what they did no longer
    happens. litify still calls the classic hooks, but a module that has them trains under no current Lightning.

    Ignore when: The project pins `pytorch_lightning<2`.
    """

    code, name = "LIT804", "removed-hook"
    severity = "error"
    message = "`{hook}` was removed in Lightning 2.0; use `{successor}`"
    visits = (ast.ClassDef,)
    examples = (
        Example(
            bad="""
            import pytorch_lightning as pl


            class Lit(pl.LightningModule):
                def validation_epoch_end(self, outputs):
                    self.log("val_loss", sum(outputs))
            """,
            good="""
            import pytorch_lightning as pl


            class Lit(pl.LightningModule):
                def on_validation_epoch_end(self):
                    self.log("val_loss", sum(self.losses))
                    self.on_epoch_end()

                def on_epoch_end(self):
                    self.losses.clear()
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A method of such a name that the class does not call itself."""
        cls = here.file.lightning.get(node) if isinstance(node, ast.ClassDef) else None
        if cls is None or cls.kind not in {MODULE, CALLBACK}:
            return
        for name, method in cls.methods.items():
            of_callback = name in CALLBACK_ONLY or name in OF_BOTH
            applies = of_callback if cls.kind == CALLBACK else name not in CALLBACK_ONLY
            if not applies or here.file.is_for_a_version(method):
                continue
            if name in REMOVED and not _called(cls.node, name):
                yield self.found(method, here, hook=name, successor=REMOVED[name])


def _called(cls: ast.ClassDef, name: str) -> bool:
    """Whether the class calls it, elsewhere than in another hook that was removed: nobody calls that either."""
    alive = (part for part in cls.body if getattr(part, "name", None) not in REMOVED)
    return any(
        isinstance(n, ast.Attribute) and n.attr == name and isinstance(n.value, ast.Name)
        for part in alive
        for n in ast.walk(part)
    )
