"""Reading of training scripts (names, roles, kinds) and the lint rules.

Every public name is loaded on first use: importing a reading module must not load the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litify_linter.check import check_file, check_source
    from litify_linter.checked import Checked
    from litify_linter.config import ConfigError, Settings
    from litify_linter.rule import Finding

__all__ = ["Checked", "ConfigError", "Finding", "Settings", "check_file", "check_source", "lint_text"]

_HOMES = {
    "Checked": "checked",
    "check_file": "check",
    "check_source": "check",
    "ConfigError": "config",
    "Settings": "config",
    "Finding": "rule",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def lint_text(text: str, path: str = "-") -> tuple[Finding, ...]:
    """Findings of all rules on a Python text, E901 if it cannot be parsed. No configuration is read."""
    from litify_linter.check import check_source
    from litify_linter.config import Settings

    return check_source(text.encode("utf-8", errors="surrogatepass"), path, Settings()).findings
