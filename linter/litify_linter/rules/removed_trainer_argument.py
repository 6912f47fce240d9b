from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import Edits, replacement
from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule

# Argument of Trainer in 1.x that 2.0 removed -> what to write instead.
REMOVED = {
    "gpus": 'accelerator="gpu", devices=...',
    "tpu_cores": 'accelerator="tpu", devices=...',
    "ipus": "devices=...",
    "num_processes": 'accelerator="cpu", devices=...',
    "auto_select_gpus": 'devices="auto"',
    "distributed_backend": "strategy=...",
    "amp_backend": "precision=...",
    "amp_level": "precision=...",
    "use_amp": 'precision="16-mixed"',
    "checkpoint_callback": "enable_checkpointing=...",
    "early_stop_callback": "callbacks=[EarlyStopping(...)]",
    "weights_summary": "enable_model_summary=...",
    "weights_save_path": "default_root_dir=...",
    "default_save_path": "default_root_dir=...",
    "progress_bar_refresh_rate": "callbacks=[TQDMProgressBar(refresh_rate=...)]",
    "process_position": "callbacks=[TQDMProgressBar(process_position=...)]",
    "show_progress_bar": "enable_progress_bar=...",
    "stochastic_weight_avg": "callbacks=[StochasticWeightAveraging(...)]",
    "log_gpu_memory": "callbacks=[DeviceStatsMonitor()]",
    "flush_logs_every_n_steps": "the logger's own argument",
    "row_log_interval": "log_every_n_steps=...",
    "log_save_interval": "the logger's own argument",
    "track_grad_norm": "a call in on_before_optimizer_step",
    "terminate_on_nan": "detect_anomaly=True",
    "resume_from_checkpoint": "trainer.fit(..., ckpt_path=...)",
    "replace_sampler_ddp": "use_distributed_sampler=...",
    "truncated_bptt_steps": "manual optimization",
    "prepare_data_per_node": "the attribute of this name of the DataModule",
    "reload_dataloaders_every_epoch": "reload_dataloaders_every_n_epochs=1",
    "multiple_trainloader_mode": "a CombinedLoader with mode=...",
    "move_metrics_to_cpu": "metrics moved in the module",
    "auto_lr_find": "callbacks=[LearningRateFinder()]",
    "auto_scale_batch_size": "callbacks=[BatchSizeFinder()]",
    "train_percent_check": "limit_train_batches=...",
    "val_percent_check": "limit_val_batches=...",
    "test_percent_check": "limit_test_batches=...",
    "overfit_pct": "overfit_batches=...",
    "max_nb_epochs": "max_epochs=...",
    "min_nb_epochs": "min_epochs=...",
    "nb_gpu_nodes": "num_nodes=...",
    "nb_sanity_val_steps": "num_sanity_val_steps=...",
    "gradient_clip": "gradient_clip_val=...",
    "print_nan_grads": "detect_anomaly=True",
}


# Those of which the successor takes the same value.
RENAMED = {
    argument: REMOVED[argument].removesuffix("=...")
    for argument in (
        "distributed_backend",
        "checkpoint_callback",
        "default_save_path",
        "show_progress_bar",
        "row_log_interval",
        "terminate_on_nan",
        "replace_sampler_ddp",
        "train_percent_check",
        "val_percent_check",
        "test_percent_check",
        "overfit_pct",
        "max_nb_epochs",
        "min_nb_epochs",
        "nb_gpu_nodes",
        "nb_sanity_val_steps",
        "gradient_clip",
    )
}
RENAMED["terminate_on_nan"] = "detect_anomaly"


class RemovedTrainerArgument(Rule):
    """An argument of Lightning's Trainer that version 2.0 removed.

    Why: The call raises a TypeError under Lightning 2.x. litify's own Trainer takes the classic names, so that they are
    only reported for `lightning` and `pytorch_lightning`.

    Ignore when: The project pins `pytorch_lightning<2`.
    """

    code, name = "LIT902", "removed-trainer-argument"
    fix = "safe"
    severity = "error"
    message = "`Trainer({argument}=...)` was removed in Lightning 2.0; use {successor}"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            import pytorch_lightning as pl

            trainer = pl.Trainer(gpus=2, max_epochs=3)
            """,
            good="""
            import pytorch_lightning as pl

            trainer = pl.Trainer(accelerator="gpu", devices=2, max_epochs=3)
            """,
        ),
        Example(
            bad="""
            from lightning import Trainer

            trainer = Trainer(resume_from_checkpoint="last.ckpt")
            """,
            good="""
            from litify import Trainer

            trainer = Trainer(gpus=2)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A call of Lightning's Trainer with such a keyword."""
        if not isinstance(node, ast.Call):
            return
        package = here.file.names.is_from(node.func, frozenset({"Trainer"}))
        if package in {"lightning", "pytorch_lightning"} and not here.file.is_for_a_version(node):
            for keyword in node.keywords:
                if keyword.arg in REMOVED:
                    successor = _successor(keyword.arg, keyword.value)
                    text = f"`{successor}`" if "=" in successor else successor
                    edits = _renamed(node, keyword, here)
                    yield self.found(keyword, here, edits, argument=keyword.arg, successor=text)


def _successor(argument: str, value: ast.expr) -> str:
    """What to write instead; `checkpoint_callback` took a flag as well as the callback itself."""
    if argument == "checkpoint_callback" and not isinstance(value, ast.Constant):
        return "callbacks=[...]"
    return REMOVED[argument]


def _renamed(call: ast.Call, keyword: ast.keyword, here: Place) -> Edits | None:
    """`row_log_interval=10` -> `log_every_n_steps=10`; `gpus=2` -> `accelerator="gpu", devices=2`."""
    others = {k.arg for k in call.keywords}
    value = here.file.source(keyword.value)
    if "\n" in value:
        return None
    match keyword:
        case ast.keyword(arg="gpus", value=ast.Constant(value=int(number))) if not others & {
            "accelerator",
            "devices",
        }:
            where = f'accelerator="gpu", devices={value}' if number else 'accelerator="cpu"'
            return replacement(keyword, here, where) if not isinstance(number, bool) else None
        case ast.keyword(arg="checkpoint_callback") if not isinstance(keyword.value, ast.Constant):
            return None
        case ast.keyword(arg=str(name)) if name in RENAMED and RENAMED[name] not in others:
            return replacement(keyword, here, f"{RENAMED[name]}={value}")
    return None
