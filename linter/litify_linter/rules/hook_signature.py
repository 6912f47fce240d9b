from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import DATAMODULE, HOOK_ARGUMENTS, MODULE, STEPS, LightningClass
from litify_linter.reading.scopes import Function
from litify_linter.rule import Example, Finding, Rule

# Hooks that get the number of the loader only where there are several.
WITH_LOADER_INDEX = frozenset(
    f"on_{stage}_batch_{end}" for stage in ("validation", "test", "predict") for end in ("start", "end")
)
ARGUMENTS = {
    "setup": "stage",
    "teardown": "stage",
    "on_train_batch_start": "batch, batch_idx",
    "on_train_batch_end": "outputs, batch, batch_idx",
    "on_save_checkpoint": "checkpoint",
    "on_load_checkpoint": "checkpoint",
    "on_before_optimizer_step": "optimizer",
    **dict.fromkeys(WITH_LOADER_INDEX, "outputs, batch, batch_idx"),
    **{f"on_{stage}_batch_start": "batch, batch_idx" for stage in ("validation", "test", "predict")},
}
# What the Trainer passed before 2.0, wherever it stands among the parameters.
OF_EARLIER_VERSIONS = frozenset({"optimizer_idx", "on_tpu", "using_native_amp", "using_lbfgs", "hiddens"})


class HookSignature(Rule):
    """A hook that requires more arguments than the Trainer passes, or cannot take those it passes.

    Why: The Trainer calls hooks with a fixed list of arguments; one more required parameter, often left from an older
    version (`optimizer_idx`, `outputs`), and the call fails when the hook is first reached, perhaps hours later.

    Ignore when: The project pins `pytorch_lightning<2`, which passed more.
    """

    code, name = "LIT806", "hook-signature"
    severity = "error"
    message = "`{hook}` {mismatch}"
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
        if cls is None or cls.kind not in {MODULE, DATAMODULE}:
            return
        if _is_driven_by_hand(cls):
            return
        for name in HOOK_ARGUMENTS.keys() & cls.methods.keys():
            method = cls.methods[name]
            if any(
                isinstance(d, ast.Name) and d.id in {"staticmethod", "classmethod"}
                for d in method.decorator_list
            ):
                continue
            mismatch = _mismatch(name, method)
            if mismatch is not None:
                yield self.found(method, here, hook=name, mismatch=mismatch)


def _mismatch(name: str, method: Function) -> str | None:
    """What is wrong between the parameters of a hook and the arguments it gets."""
    required, gets = _required(method), HOOK_ARGUMENTS[name]
    if len(required) > gets and not (name in STEPS and _has_arguments_of_its_own(required)):
        strange = [parameter for parameter in required if parameter in OF_EARLIER_VERSIONS] or required[gets:]
        extra = ", ".join(f"`{parameter}`" for parameter in strange)
        return f"requires {len(required)} arguments beside `self`, but gets {gets}; remove {extra}"
    if name in STEPS:
        return (
            None
            if required or _takes_batch(method)
            else "takes no arguments beside `self`; add `batch, batch_idx`"
        )
    takes, least = _takes(method), gets - (name in WITH_LOADER_INDEX)
    if takes < least:
        missing = f"; add `{ARGUMENTS[name]}`" if name in ARGUMENTS else ""
        return f"takes {takes or 'no'} arguments beside `self`, but gets {least}{missing}"
    return None


def _has_arguments_of_its_own(required: list[str]) -> bool:
    """Whether a step wants several things beside the batch that no version of Lightning has: another module calls it."""
    known = {*OF_EARLIER_VERSIONS, "dataloader_idx"}
    return len(required) > 3 and not known & set(required)


def _takes(method: Function) -> int:
    """How many arguments beside `self` it can be given by position or name."""
    args = method.args
    if args.vararg is not None or args.kwarg is not None:
        return 9
    return len([*args.posonlyargs, *args.args]) - 1 + len(args.kwonlyargs)


def _is_driven_by_hand(cls: LightningClass) -> bool:
    """Whether a loop of the project's own calls the hooks, as with Fabric: no Trainer would get past the first one."""
    first = cls.methods.get("configure_optimizers")
    return first is not None and bool(_required(first))


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
