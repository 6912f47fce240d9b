from __future__ import annotations

import ast
from collections.abc import Iterable

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
}


class RemovedTrainerArgument(Rule):
    """An argument of Lightning's Trainer that version 2.0 removed.

    Why: The call raises a TypeError under Lightning 2.x. litify's own Trainer takes the classic names, so that they are
    only reported for `lightning` and `pytorch_lightning`.

    Ignore when: The project pins `pytorch_lightning<2`.
    """

    code, name = "LIT902", "removed-trainer-argument"
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
        if package in {"lightning", "pytorch_lightning"}:
            for keyword in node.keywords:
                if keyword.arg in REMOVED:
                    successor = REMOVED[keyword.arg]
                    text = f"`{successor}`" if "=" in successor else successor
                    yield self.found(keyword, here, argument=keyword.arg, successor=text)
