from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.reading.lightning import CALLBACK
from litify_linter.reading.objects import is_parameter, values_of
from litify_linter.rule import Example, Finding, Rule

# Attribute of Trainer in 1.x that 2.x does not have -> what to use instead (checked against Lightning 2.6).
REMOVED = {
    "add_argparse_args": "use LightningCLI, or add the arguments you take",
    "from_argparse_args": "call `Trainer(...)` with the arguments you take, or use LightningCLI",
    "parse_argparser": "use LightningCLI",
    "match_env_arguments": "use LightningCLI",
    "default_attributes": "read the signature of `Trainer.__init__`",
    "tune": "use `Tuner(trainer)`",
    "use_ddp": "use `world_size > 1`",
    "use_ddp2": "use `world_size > 1`",
    "use_dp": "use `world_size > 1`",
    "use_tpu": "test `accelerator`",
    "use_amp": "use `precision`",
    "amp_backend": "use `precision`",
    "gpus": "use `num_devices`",
    "num_gpus": "use `num_devices`",
    "num_processes": "use `num_devices`",
    "tpu_cores": "use `num_devices`",
    "ipus": "use `num_devices`",
    "devices": "use `num_devices` or `device_ids`",
    "root_gpu": "use `strategy.root_device.index`",
    "data_parallel_device_ids": "use `device_ids`",
    "lr_schedulers": "use `lr_scheduler_configs`",
    "weights_save_path": "use `default_root_dir`",
    "terminate_on_nan": "use `Trainer(detect_anomaly=True)`",
    "training_type_plugin": "use `strategy`",
    "accelerator_connector": "use `strategy` and `accelerator`",
    "progress_bar_dict": "use `progress_bar_metrics`",
    "get_model": "use `lightning_module`",
    "train_loop": "use `fit_loop`",
    "evaluation_loop": "use `validate_loop` or `test_loop`",
    "call_hook": "call the hook itself",
    "reset_train_dataloader": "use `fit_loop.setup_data()`",
    "reset_val_dataloader": "use `validate_loop.setup_data()`",
    "slurm_job_id": "use `SLURMEnvironment.job_id()`",
}


class RemovedTrainerAttribute(Rule):
    """A method or attribute of Lightning's Trainer that version 2.0 removed: `from_argparse_args`, `use_ddp`.

    Why: It raises an AttributeError under Lightning 2.x, some of them only when the training is already running.

    Ignore when: The project pins `pytorch_lightning<2`. What stands under a `try` or a test is never reported.
    """

    code, name = "LIT907", "removed-trainer-attribute"
    message = "`Trainer.{attribute}` was removed in Lightning 2.0; {advice}"
    severity = "error"
    visits = (ast.Attribute,)
    lightning_only = False
    words = ("lightning",)
    examples = (
        Example(
            bad="""
            import pytorch_lightning as pl

            parser = pl.Trainer.add_argparse_args(parser)
            trainer = pl.Trainer.from_argparse_args(parser.parse_args())
            """,
            good="""
            import pytorch_lightning as pl

            parser.add_argument("--epochs", type=int)
            trainer = pl.Trainer(max_epochs=parser.parse_args().epochs)
            """,
        ),
        Example(
            bad="""
            from lightning import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    scale = 2 if self.trainer.use_ddp else 1
                    return self.loss(batch) * scale
            """,
            good="""
            from lightning import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    scale = 2 if self.trainer.world_size > 1 else 1
                    if hasattr(self.trainer, "use_ddp"):
                        self.print(self.trainer.use_ddp)
                    return self.loss(batch) * scale * self.args.use_ddp
            """,
        ),
    )

    @classmethod
    def wants(cls, text: str) -> bool:
        """Files that speak of a Trainer."""
        return "rainer" in text

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """An attribute of the class Trainer, of an object it made, or of `self.trainer`, that is read."""
        if (
            not isinstance(node, ast.Attribute)
            or node.attr not in REMOVED
            or not isinstance(node.ctx, ast.Load)
        ):
            return
        if _package(node.value, here) in {"lightning", "pytorch_lightning"} and not _is_asked_for(node, here):
            yield self.found(node, here, attribute=node.attr, advice=REMOVED[node.attr])


def _is_asked_for(node: ast.Attribute, here: Place) -> bool:
    return _tested(node, here) or here.file.is_for_a_version(node)


def _package(holder: ast.expr, here: Place) -> str | None:
    """The package of the Trainer that an expression names, None where it names none."""
    match holder:
        case ast.Attribute(value=ast.Name(id=owner), attr="trainer") if (
            owner == here.self_name and here.lightning is not None
        ):
            return here.lightning.package if "trainer" not in here.lightning.attributes else None
        case ast.Name(id="trainer") if is_parameter("trainer", here):
            of_callback = here.lightning is not None and here.lightning.kind == CALLBACK
            return here.lightning.package if of_callback and here.lightning is not None else None
        case ast.Call(func=function):
            return here.file.names.is_from(function, _TRAINER)
        case ast.Name(id=name):
            built = [v.func for v in values_of(name, here) if isinstance(v, ast.Call)]
            packages = [here.file.names.is_from(function, _TRAINER) for function in built]
            if any(packages):
                return next(package for package in packages if package)
    return here.file.names.is_from(holder, _TRAINER)


_TRAINER = frozenset({"Trainer"})


def _tested(node: ast.AST, here: Place) -> bool:
    """Whether the attribute stands under a `try`, or in what a test chooses: it may ask for the version."""
    child, parent = node, here.file.parents.get(node)
    while parent is not None:
        match parent:
            case ast.Try():
                return True
            case ast.If(test=test) | ast.IfExp(test=test) if test is not child:
                return True
        child, parent = parent, here.file.parents.get(parent)
    return False
