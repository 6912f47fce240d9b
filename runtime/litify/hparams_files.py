"""Hyperparameters in files of their own: YAML, as loggers write them, and two-column CSV."""

from __future__ import annotations

import ast
import csv
import os
from argparse import Namespace
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from litify import storage
from litify.rank_zero import warn


def load_hparams_file(path: str | Path) -> dict[str, Any]:
    """Hyperparameters from a YAML or CSV file.

    Raises:
        ValueError: another kind of file.
    """
    path = Path(path)
    if path.suffix in (".yaml", ".yml"):
        return load_hparams_from_yaml(path)
    if path.suffix == ".csv":
        return load_hparams_from_tags_csv(path)
    raise ValueError(f"{path}: hyperparameter files are .csv, .yml or .yaml.")


def load_hparams_from_yaml(config_yaml: str | Path, use_omegaconf: bool = False) -> dict[str, Any]:
    """A YAML file as a dictionary.

    Args:
        use_omegaconf: accepted for compatibility; make an OmegaConf object of the result where one is needed.
    """
    import yaml  # type: ignore[import-untyped]

    if not Path(config_yaml).exists():
        warn(f"There is no file of hyperparameters {config_yaml}: none are loaded.")
        return {}
    return dict(yaml.safe_load(Path(config_yaml).read_text()) or {})


def load_hparams_from_tags_csv(tags_csv: str | Path) -> dict[str, Any]:
    """A CSV file with a heading and the columns key, value."""
    found: dict[str, Any] = {}
    for key, text in list(csv.reader(Path(tags_csv).read_text().splitlines()))[1:]:
        try:
            found[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[key] = text
    return found


def save_hparams_to_tags_csv(tags_csv: str | Path, hparams: Mapping[str, Any] | Namespace) -> None:
    """Write what `load_hparams_from_tags_csv` reads."""
    given = vars(hparams) if isinstance(hparams, Namespace) else hparams
    with open(tags_csv, "w", newline="") as file:
        csv.writer(file).writerows([("key", "value"), *given.items()])


def save_hparams_to_yaml(config_yaml: str | Path, hparams: Any, use_omegaconf: bool = False) -> None:
    """Write hyperparameters as YAML.

    Values that YAML has no words for are written as their name; one that has none is left out, with a warning.
    """
    import yaml

    given = vars(hparams) if isinstance(hparams, Namespace) else hparams
    kept: dict[str, Any] = {}
    for key, value in given.items():
        value = _plain(value)
        try:
            yaml.safe_dump(value)
        except yaml.YAMLError:
            name = getattr(value, "__name__", None)
            if name is None:
                warn(
                    f"The hyperparameter {key!r} ({type(value).__name__}) cannot be written to {config_yaml} and is left out."
                )
                continue
            value = name
        kept[key] = value
    with storage.open_file(config_yaml, "w") as file:
        file.write(yaml.safe_dump(kept, sort_keys=False) if kept else "{}\n")


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.name
        case Namespace():
            return _plain(vars(value))
        case os.PathLike():
            return str(value)
        case Mapping():
            return {key: _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case _ if hasattr(value, "_metadata") and hasattr(value, "__iter__"):  # a list of OmegaConf
            return [_plain(each) for each in value]
    return value
