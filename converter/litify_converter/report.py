"""Stage 8, report: what went where and why, as text for people and JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litify_converter.convert import Conversion

WHAT = {
    "__init__": "model and hyperparameters",
    "on_train_epoch_start": "what stood before the batch loop",
    "training_step": "one step of the batch loop",
    "on_train_epoch_end": "what stood after the batch loop",
    "validation_step": "one batch of the evaluation",
    "configure_optimizers": "optimizers and schedulers",
}


def as_text(conversion: Conversion, out: Path) -> str:
    """The report for people."""
    plan = conversion.plan
    mode = "automatic" if plan.automatic else "manual"
    lines = [f"{conversion.script.path} -> {out}", f"  {plan.class_name}: {mode} optimization"]
    for name, hook in plan.hooks.items():
        if name in WHAT and hook.items:
            lines.append(f"    {name:<22} {WHAT[name]}")
    if plan.data_name:
        lines.append(f"  {plan.data_class}: data sets and loaders")
    for note in sorted(plan.notes, key=lambda n: (n.kind == "look", n.line)):
        mark = "needs a look" if note.kind == "look" else note.kind
        lines.append(f"  {conversion.script.path.name}:{note.line}: {mark}: {note.text}")
    return "\n".join(lines)


def as_json(conversion: Conversion, out: Path) -> str:
    """The report for programs: stable keys, one object."""
    plan = conversion.plan
    fields: dict[str, Any] = {
        "converted": True,
        "file": str(conversion.script.path),
        "output": str(out),
        "module": plan.class_name,
        "data_module": plan.data_class or None,
        "optimization": "automatic" if plan.automatic else "manual",
        "hooks": [name for name, hook in plan.hooks.items() if hook.items],
        "idioms": plan.idioms,
        "notes": [{"kind": n.kind, "line": n.line, "text": n.text} for n in plan.notes],
    }
    return json.dumps(fields, indent=2)
