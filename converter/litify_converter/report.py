"""Stage 8, report: what went where and why, as text for people and JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litify_converter.convert import Conversion
    from litify_converter.ir import Plan

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
    lines = [f"{conversion.script.path} -> {out}"]
    for plan in (*conversion.earlier, conversion.plan):
        lines.append(f"  {plan.class_name}: {optimization(plan)} optimization")
        for name, hook in plan.hooks.items():
            if name in WHAT and hook.items:
                lines.append(f"    {name:<22} {WHAT[name]}")
        if plan.data_name:
            lines.append(f"  {plan.data_class}: data sets and loaders")
    for note in sorted(conversion.plan.notes, key=lambda n: (n.kind == "look", n.line)):
        mark = "needs a look" if note.kind == "look" else note.kind
        lines.append(f"  {conversion.script.path.name}:{note.line}: {mark}: {note.text}")
    return "\n".join(lines)


def optimization(plan: Plan) -> str:
    return "automatic" if plan.automatic else "manual"


def effort(conversion: Conversion) -> str:
    """What is left to do by hand: "none", or "minutes" where a point needs a look."""
    return "minutes" if any(note.kind == "look" for note in conversion.plan.notes) else "none"


def as_sarif(findings: list[tuple[str, int | None, str, str]]) -> str:
    """Refusals and points that need a look, each (file, line, code, message), as a SARIF 2.1.0 log."""
    results = []
    for file, line, code, message in findings:
        place: dict[str, Any] = {"artifactLocation": {"uri": Path(file).as_posix()}}
        if line:
            place["region"] = {"startLine": line}
        level = "note" if code == "LC301" else "error"
        results.append(
            {
                "ruleId": code,
                "level": level,
                "message": {"text": message},
                "locations": [{"physicalLocation": place}],
            }
        )
    driver = {"name": "litify convert", "rules": [{"id": code} for code in sorted({f[2] for f in findings})]}
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(log, indent=2)


def as_json(conversion: Conversion, out: Path) -> str:
    """The report for programs: stable keys, one object."""
    plan = conversion.plan
    fields: dict[str, Any] = {
        "converted": True,
        "file": str(conversion.script.path),
        "output": str(out),
        "module": plan.class_name,
        "data_module": plan.data_class or None,
        "optimization": optimization(plan),
        "earlier_modules": [one.class_name for one in conversion.earlier],
        "hooks": [name for name, hook in plan.hooks.items() if hook.items],
        "idioms": plan.idioms,
        "effort": effort(conversion),
        "notes": [{"kind": n.kind, "line": n.line, "text": n.text} for n in plan.notes],
    }
    return json.dumps(fields, indent=2)
