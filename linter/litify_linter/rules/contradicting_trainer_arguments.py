from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import MODULE
from litify_linter.rule import Example, Finding, Rule

# Argument that is False -> callbacks that need it.
OFF = {
    "enable_checkpointing": {"ModelCheckpoint"},
    "enable_progress_bar": {"TQDMProgressBar", "RichProgressBar"},
    "logger": {"LearningRateMonitor", "DeviceStatsMonitor"},
}
# Argument -> values with which it does nothing.
IDLE = {"gradient_clip_val": (None, 0), "accumulate_grad_batches": (None, 1)}


class ContradictingTrainerArguments(Rule):
    """Arguments of one Trainer that contradict each other, or the module in the same file that it trains.

    Why: The Trainer raises when it is built or when fit starts: a checkpoint callback with checkpointing off, a progress bar
    callback with the bar off, a learning rate monitor without logger, clipping or accumulation under manual optimization.

    Ignore when: Never.
    """

    code, name = "LIT903", "contradicting-trainer-arguments"
    message = "`Trainer({argument})` contradicts {other}"
    severity = "error"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            from lightning import Trainer
            from lightning.pytorch.callbacks import ModelCheckpoint

            trainer = Trainer(enable_checkpointing=False, callbacks=[ModelCheckpoint()])
            """,
            good="""
            from lightning import Trainer
            from lightning.pytorch.callbacks import ModelCheckpoint

            trainer = Trainer(callbacks=[ModelCheckpoint()], logger=False, enable_progress_bar=False)
            """,
        ),
        Example(
            bad="""
            from litify import LightningModule, Trainer


            class Lit(LightningModule):
                def __init__(self):
                    super().__init__()
                    self.automatic_optimization = False


            Trainer(gradient_clip_val=1.0).fit(Lit())
            """,
            good="""
            from litify import LightningModule, Trainer


            class Lit(LightningModule):
                pass


            Trainer(gradient_clip_val=1.0, accumulate_grad_batches=2).fit(Lit())
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """Only what is written out in the call itself: constants, and callbacks in a list."""
        if (
            not isinstance(node, ast.Call)
            or here.file.names.is_from(node.func, frozenset({"Trainer"})) is None
        ):
            return
        given = {keyword.arg: keyword for keyword in node.keywords if keyword.arg}
        callbacks = _callbacks(given.get("callbacks"), here)
        for argument, names in OFF.items():
            keyword = given.get(argument)
            if keyword is not None and _is(keyword.value, False):
                for name in names & callbacks:
                    yield self.found(
                        keyword, here, argument=f"{argument}=False", other=f"`callbacks=[{name}()]`"
                    )
        interval, every = given.get("val_check_interval"), given.get("check_val_every_n_epoch")
        match interval, every:
            case ast.keyword(value=ast.Constant(value=float(part))), ast.keyword(
                value=ast.Constant(value=None)
            ):
                other = "`check_val_every_n_epoch=None`, which counts batches; give a whole number"
                yield self.found(interval, here, argument=f"val_check_interval={part}", other=other)
        if _is_all_manual(here):
            for argument, idle in IDLE.items():
                keyword = given.get(argument)
                if (
                    keyword is not None
                    and isinstance(keyword.value, ast.Constant)
                    and keyword.value.value not in idle
                ):
                    shown = f"{argument}={keyword.value.value!r}"
                    yield self.found(
                        keyword, here, argument=shown, other="manual optimization; do it in training_step"
                    )


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _callbacks(keyword: ast.keyword | None, here: Place) -> set[str]:
    """Names of Lightning's callback classes that are built in the list."""
    if keyword is None or not isinstance(keyword.value, ast.List):
        return set()
    calls = [element.func for element in keyword.value.elts if isinstance(element, ast.Call)]
    return {(here.resolve(call) or "").rpartition(".")[2] for call in calls}


def _is_all_manual(here: Place) -> bool:
    """Whether the file has modules, and the optimization of every one of them is manual."""
    modules = [cls for cls in here.file.lightning.values() if cls.kind == MODULE]
    return bool(modules) and not any(cls.automatic for cls in modules)
