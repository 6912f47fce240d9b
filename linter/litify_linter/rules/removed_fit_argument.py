from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import replacement
from litify_linter.reading.file import Place
from litify_linter.reading.objects import values_of
from litify_linter.rule import Example, Finding, Rule

RENAMED = {
    "fit": {"train_dataloader": "train_dataloaders", "val_dataloader": "val_dataloaders"},
    "validate": {"val_dataloaders": "dataloaders", "val_dataloader": "dataloaders"},
    "test": {"test_dataloaders": "dataloaders", "test_dataloader": "dataloaders"},
    "predict": {"predict_dataloaders": "dataloaders"},
}


class RemovedFitArgument(Rule):
    """An argument of `trainer.fit`, `validate` or `test` that Lightning renamed: `train_dataloader`, `test_dataloaders`.

    Why: The call raises a TypeError under Lightning 2.x.

    Ignore when: The project pins `pytorch_lightning<1.4`.
    """

    code, name = "LIT905", "removed-fit-argument"
    message = "`trainer.{method}({argument}=...)` was removed; use `{successor}=...`"
    fix = "safe"
    severity = "error"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            import pytorch_lightning as pl

            trainer = pl.Trainer(max_epochs=3)
            trainer.fit(module, train_dataloader=loader)
            """,
            good="""
            import pytorch_lightning as pl

            trainer = pl.Trainer(max_epochs=3)
            trainer.fit(module, train_dataloaders=loader, val_dataloaders=[loader])
            tuner.fit(module, train_dataloader=loader)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call on a Trainer, directly or through a name."""
        match node:
            case ast.Call(func=ast.Attribute(value=target, attr=method)) if method in RENAMED:
                pass
            case _:
                return
        values = [target, *(values_of(target.id, here) if isinstance(target, ast.Name) else [])]
        if here.file.is_for_a_version(node) or not any(_is_trainer(value, here) for value in values):
            return
        for keyword in node.keywords:
            if keyword.arg in RENAMED[method]:
                successor = RENAMED[method][keyword.arg]
                edits = replacement(keyword, here, f"{successor}={here.file.source(keyword.value)}")
                yield self.found(
                    keyword, here, edits, method=method, argument=keyword.arg, successor=successor
                )


def _is_trainer(node: ast.expr, here: Place) -> bool:
    return (
        isinstance(node, ast.Call) and here.file.names.is_from(node.func, frozenset({"Trainer"})) is not None
    )
