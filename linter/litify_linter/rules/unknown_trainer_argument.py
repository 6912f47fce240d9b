from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable

from litify_linter.edits import replacement
from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Rule
from litify_linter.rules.removed_trainer_argument import REMOVED

# Lightning 2.6, and litify's own.
ARGUMENTS = frozenset(
    [
        "accelerator",
        "accumulate_grad_batches",
        "barebones",
        "benchmark",
        "callbacks",
        "check_val_every_n_epoch",
        "default_root_dir",
        "detect_anomaly",
        "deterministic",
        "devices",
        "enable_autolog_hparams",
        "enable_checkpointing",
        "enable_model_summary",
        "enable_progress_bar",
        "fast_dev_run",
        "gradient_clip_algorithm",
        "gradient_clip_val",
        "inference_mode",
        "limit_predict_batches",
        "limit_test_batches",
        "limit_train_batches",
        "limit_val_batches",
        "log_every_n_steps",
        "logger",
        "max_epochs",
        "max_steps",
        "max_time",
        "min_epochs",
        "min_steps",
        "model_registry",
        "num_nodes",
        "num_sanity_val_steps",
        "overfit_batches",
        "plugins",
        "precision",
        "profiler",
        "reload_dataloaders_every_n_epochs",
        "strategy",
        "suggest_integrations",
        "sync_batchnorm",
        "use_distributed_sampler",
        "val_check_interval",
    ]
)


class UnknownTrainerArgument(Rule):
    """An argument that the Trainer does not have, such as a misspelt one.

    Why: The call raises a TypeError.

    Ignore when: A newer version has the argument.
    """

    code, name = "LIT904", "unknown-trainer-argument"
    message = "Trainer has no argument `{argument}`{advice}"
    fix = "unsafe"
    severity = "error"
    visits = (ast.Call,)
    examples = (
        Example(
            bad="""
            from litify import Trainer

            trainer = Trainer(max_epoch=3)
            """,
            good="""
            from litify import Trainer

            trainer = Trainer(max_epochs=3, **options)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """A keyword that is neither an argument of today's Trainer nor of an older one."""
        if (
            not isinstance(node, ast.Call)
            or here.file.names.is_from(node.func, frozenset({"Trainer"})) is None
        ):
            return
        given = {keyword.arg for keyword in node.keywords}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in ARGUMENTS or keyword.arg in REMOVED:
                continue
            close = next(iter(difflib.get_close_matches(keyword.arg, ARGUMENTS - given, 1, 0.8)), None)
            edits = (
                replacement(keyword, here, f"{close}={here.file.source(keyword.value)}") if close else None
            )
            advice = f"; did you mean `{close}`?" if close else ""
            yield self.found(keyword, here, edits, argument=keyword.arg, advice=advice)
