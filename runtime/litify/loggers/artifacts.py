"""Checkpoints that are new since the last look, for loggers that upload them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SETTINGS = ("monitor", "mode", "save_last", "save_top_k", "save_weights_only", "_every_n_train_steps")


def uploads_at_once(log_model: bool | str, callback: Any) -> bool:
    """Whether a checkpoint is uploaded when it is written, not in the end: "all", or True where all are kept."""
    return log_model == "all" or (log_model is True and callback.save_top_k == -1)


def new_checkpoints(callback: Any, logged: dict[str, float]) -> list[tuple[str, dict[str, Any], list[str]]]:
    """Files of a ModelCheckpoint written since they were last in `logged`, oldest first, which is brought up to date.

    Returns:
        Of each: path, what is known about it, and its aliases ("latest", "best").
    """
    scores = {
        callback.last_model_path: callback.current_score,
        callback.best_model_path: callback.best_model_score,
    }
    scores.update(callback.best_k_models)
    times = {path: Path(path).stat().st_mtime for path in scores if path and Path(path).is_file()}
    found = []
    for path, time in sorted(times.items(), key=lambda item: item[1]):
        if logged.get(path, 0.0) >= time:
            continue
        logged[path] = time
        score = scores[path]
        about = {
            "score": score.item() if hasattr(score, "item") else score,
            "original_filename": Path(path).name,
            type(callback).__name__: {
                name: getattr(callback, name) for name in SETTINGS if hasattr(callback, name)
            },
        }
        found.append((path, about, ["latest", "best"] if path == callback.best_model_path else ["latest"]))
    return found
