from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule

# Property without setter -> what to do instead (Lightning 2.6, core/module.py and core/mixins/).
READ_ONLY = {
    "hparams": "use `self.save_hyperparameters(...)`",
    "hparams_initial": "use `self.save_hyperparameters(...)`",
    "device": "the Trainer chooses it",
    "logger": "use `Trainer(logger=...)`",
    "loggers": "use `Trainer(logger=...)`",
    "current_epoch": "the Trainer counts",
    "global_step": "the Trainer counts",
    "global_rank": "the Trainer knows it",
    "local_rank": "the Trainer knows it",
    "on_gpu": "the Trainer knows it",
}


class ReadOnlyAttribute(Rule):
    """A property of LightningModule that the class assigns to: `self.device = ...`, `self.hparams = ...`.

    Why: These are properties without a setter. The assignment raises an AttributeError as soon as it runs.

    Ignore when: The class defines the property again, with a setter. That is never reported.
    """

    code, name = "LIT812", "read-only-attribute"
    message = "`self.{attribute}` is a read-only property of LightningModule: the assignment raises; {advice}"
    severity = "error"
    visits = (ast.Attribute,)
    examples = (
        Example(
            bad="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def __init__(self, arguments):
                    super().__init__()
                    self.hparams = arguments
                    self.device = torch.device("cpu")
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def __init__(self, arguments):
                    super().__init__()
                    self.save_hyperparameters(arguments)
                    self.hparams.rate = 0.1
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """An assignment to one of them in a method of a LightningModule that does not define it itself."""
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=name, ctx=ast.Store()) if name in READ_ONLY:
                if here.module is None or here.method is None or owner != here.self_name or here.is_static:
                    return
                if not any(_defines(ancestor, name) for ancestor in here.module.lineage):
                    yield self.found(node, here, attribute=name, advice=READ_ONLY[name])


def _defines(cls: ast.ClassDef, name: str) -> bool:
    for node in cls.body:
        match node:
            case ast.FunctionDef(name=defined) | ast.AnnAssign(target=ast.Name(id=defined)) if (
                defined == name
            ):
                return True
            case ast.Assign(targets=targets) if any(getattr(t, "id", None) == name for t in targets):
                return True
    return False
