from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule

# Path below the package -> what to use instead (checked against Lightning 2.6).
REMOVED = {
    "metrics": "use torchmetrics",
    "data_loader": "the decorator is no longer needed",
    "logging.TestTubeLogger": "use `loggers.TensorBoardLogger`",
    "logging.TensorBoardLogger": "import from `loggers`",
    "logging.WandbLogger": "import from `loggers`",
    "logging.MLFlowLogger": "import from `loggers`",
    "logging.CometLogger": "import from `loggers`",
    "logging.NeptuneLogger": "import from `loggers`",
    "logging.LightningLoggerBase": "import Logger from `loggers.logger`",
    "logging.base": "import Logger from `loggers.logger`",
    "logging.test_tube": "use `loggers.TensorBoardLogger`",
    "logging.test_tube_logger": "use `loggers.TensorBoardLogger`",
    "logging.tensorboard": "import from `loggers`",
    "logging.comet": "import from `loggers`",
    "logging.comet_logger": "import from `loggers`",
    "logging.mlflow": "import from `loggers`",
    "logging.mlflow_logger": "import from `loggers`",
    "logging.neptune": "import from `loggers`",
    "logging.wandb": "import from `loggers`",
    "loggers.test_tube": "use `loggers.TensorBoardLogger`",
    "root_module": "import LightningModule from the package itself",
    "pt_overrides": 'use `strategy="ddp"`',
    "callbacks.pt_callbacks": "import from `callbacks`",
    "callbacks.lr_logger": "use LearningRateMonitor",
    "core.lightning": "import LightningModule from the package itself",
    "core.memory": "import from `utilities.model_summary`",
    "core.step_result": "use `self.log`",
    "core.decorators": "the decorators are no longer needed",
    "callbacks.base": "import Callback from `callbacks`",
    "callbacks.GPUStatsMonitor": "use DeviceStatsMonitor",
    "callbacks.XLAStatsMonitor": "use DeviceStatsMonitor",
    "callbacks.LearningRateLogger": "use LearningRateMonitor",
    "callbacks.ProgressBarBase": "use `callbacks.progress.ProgressBar`",
    "loggers.base": "import Logger from `loggers.logger`",
    "loggers.LightningLoggerBase": "import Logger from `loggers.logger`",
    "loggers.LoggerCollection": "give the Trainer a list of loggers",
    "loggers.TestTubeLogger": "use TensorBoardLogger",
    "profiler": "import from `profilers`",
    "utilities.cli": "import from `cli`",
    "utilities.distributed": "rank_zero_only and its kin are in `utilities.rank_zero`",
    "utilities.cloud_io": "use torch.load and fsspec",
    "utilities.apply_func": "import from `lightning_utilities.core.apply_func`",
    "utilities.AMPType": "use `Trainer(precision=...)`",
    "overrides.data_parallel": 'use `strategy="ddp"`',
    "trainer.supporters": "import CombinedLoader from `utilities.combined_loader`",
    "plugins.DDPPlugin": "use `strategies.DDPStrategy`",
    "plugins.DDPShardedPlugin": "use `strategies.FSDPStrategy`",
    "plugins.DeepSpeedPlugin": "use `strategies.DeepSpeedStrategy`",
    "plugins.NativeMixedPrecisionPlugin": "use `plugins.MixedPrecision`",
    "plugins.ApexMixedPrecisionPlugin": "use `plugins.MixedPrecision`",
    "strategies.DDP2Strategy": "use `strategies.DDPStrategy`",
    "strategies.DDPShardedStrategy": "use `strategies.FSDPStrategy`",
    "strategies.DDPSpawnStrategy": 'use `strategy="ddp_spawn"`',
    "strategies.DataParallelStrategy": 'use `strategy="ddp"`',
    "strategies.DDPFullyShardedStrategy": "use `strategies.FSDPStrategy`",
    "strategies.HorovodStrategy": 'use `strategy="ddp"`',
    "strategies.BaguaStrategy": 'use `strategy="ddp"`',
    "lite": "use `lightning.fabric`",
    "TrainResult": "use `self.log`",
    "EvalResult": "use `self.log`",
}


class RemovedImport(Rule):
    """An import, or a use, of something that Lightning 2.0 removed or moved: `pytorch_lightning.metrics`, `core.lightning`.

    Why: The import raises under Lightning 2.x, and so does `pl.metrics` once it is reached.

    Ignore when: The project pins `pytorch_lightning<2`. Imports under `try` are never reported.
    """

    code, name = "LIT906", "removed-import"
    message = "`{thing}` was removed by Lightning 2.0; {advice}"
    severity = "error"
    visits = (ast.Import, ast.ImportFrom, ast.Attribute)
    lightning_only = False
    words = ("lightning",)
    examples = (
        Example(
            bad="""
            from pytorch_lightning.metrics import Accuracy
            from pytorch_lightning.callbacks.base import Callback
            """,
            good="""
            from pytorch_lightning.callbacks import Callback

            try:
                from pytorch_lightning.utilities.distributed import rank_zero_only
            except ImportError:
                from pytorch_lightning.utilities import rank_zero_only
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A module or name of the table, under either of Lightning's two package names."""
        if isinstance(node, ast.Attribute):
            name = here.resolve(node) or ""
            names = [name] if _below_lightning(name) in REMOVED and not _is_imported(name, here) else []
        else:
            names = _imported(node)
        for name in names:
            below = _below_lightning(name)
            removed = next(
                (known for known in REMOVED if below == known or below.startswith(known + ".")), None
            )
            if removed is not None and not _is_optional(node, here):
                yield self.found(
                    node, here, thing=name.removesuffix(below) + removed, advice=REMOVED[removed]
                )
                return


def _is_optional(node: ast.AST, here: Place) -> bool:
    """Whether the code goes on without it, or asks for the version first."""
    return _tried(node, here) or (isinstance(node, ast.stmt | ast.expr) and here.file.is_for_a_version(node))


def _imported(node: ast.AST) -> list[str]:
    """Qualified names that an import statement asks for; none of a relative one."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def _is_imported(name: str, here: Place) -> bool:
    """Whether an import of the file asks for what an attribute names: that is reported there."""
    statements = [*here.file.nodes.get(ast.Import, ()), *here.file.nodes.get(ast.ImportFrom, ())]
    return any(
        other == name or other.startswith(name + ".") for node, _ in statements for other in _imported(node)
    )


def _below_lightning(name: str) -> str:
    """The part of a qualified name behind the package: "metrics.Accuracy"."""
    for package in ("lightning.pytorch.", "pytorch_lightning."):
        if name.startswith(package):
            return name.removeprefix(package)
    return ""


def _tried(node: ast.AST, here: Place) -> bool:
    """Whether the import stands under a `try`, or an `if` that may ask for the version."""
    parent = here.file.parents.get(node)
    while parent is not None:
        if isinstance(parent, ast.Try | ast.If | ast.ExceptHandler):
            return True
        parent = here.file.parents.get(parent)
    return False
