from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import HOOK_ARGUMENTS, MODULE, STEPS
from litify_linter.reading.scopes import Function
from litify_linter.rule import Example, Finding, Rule


class HookSignature(Rule):
    """A hook that requires more arguments than the Trainer passes, or a step that takes no batch.

    Why: The Trainer calls hooks with a fixed list of arguments; one more required parameter, often left from an older
    version (`optimizer_idx`, `outputs`), and the call fails when the hook is first reached, perhaps hours later.

    Ignore when: The project pins `pytorch_lightning<2`, which passed more.
    """

    code, name = "LIT806", "hook-signature"
    message = "`{hook}` requires {has} arguments beside `self`, but gets {gets}{advice}"
    visits = (ast.ClassDef,)
    examples = (
        Example(
            bad="""
            from lightning.pytorch import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx, optimizer_idx):
                    return self.loss(batch)

                def on_train_epoch_end(self, outputs):
                    self.log("n", len(outputs))
            """,
            good="""
            from lightning.pytorch import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch):
                    return self.loss(batch)

                def validation_step(self, batch, batch_idx, dataloader_idx=0):
                    self.log("val_loss", self.loss(batch))

                def on_train_epoch_end(self, *unused):
                    self.log("n", 1)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A hook whose parameters without default do not fit."""
        cls = here.file.lightning.get(node) if isinstance(node, ast.ClassDef) else None
        if cls is None or cls.kind != MODULE:
            return
        for name in HOOK_ARGUMENTS.keys() & cls.methods.keys():
            method = cls.methods[name]
            if any(
                isinstance(d, ast.Name) and d.id in {"staticmethod", "classmethod"}
                for d in method.decorator_list
            ):
                continue
            required = _required(method)
            gets = HOOK_ARGUMENTS[name]
            if len(required) > gets:
                extra = ", ".join(f"`{parameter}`" for parameter in required[gets:])
                yield self.found(
                    method, here, hook=name, has=len(required), gets=gets, advice=f"; remove {extra}"
                )
            elif name in STEPS and not _takes_batch(method):
                yield self.found(
                    method, here, hook=name, has="no", gets="a batch", advice="; add `batch, batch_idx`"
                )


def _required(method: Function) -> list[str]:
    """Parameters without default, `self` and `*args` left out."""
    args = method.args
    by_position = [*args.posonlyargs, *args.args][1:]
    without = by_position[: max(len(by_position) - len(args.defaults), 0)]
    by_name = [a for a, default in zip(args.kwonlyargs, args.kw_defaults, strict=True) if default is None]
    return [a.arg for a in [*without, *by_name]]


def _takes_batch(method: Function) -> bool:
    args = method.args
    return (
        len([*args.posonlyargs, *args.args]) > 1
        or args.vararg is not None
        or bool(args.kwonlyargs or args.kwarg)
    )
