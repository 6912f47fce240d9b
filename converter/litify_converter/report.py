"""Stage 8, report: what went where and why, as text for people and JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from litify_converter.convert import Conversion
    from litify_converter.ir import Note, Plan

WHAT = {
    "__init__": "model and hyperparameters",
    "on_train_epoch_start": "what stood before the batch loop",
    "training_step": "one step of the batch loop",
    "on_train_epoch_end": "what stood after the batch loop",
    "validation_step": "one batch of the evaluation",
    "configure_optimizers": "optimizers and schedulers",
}


class Point(NamedTuple):
    """A refusal, or a point that needs a look, and its place in a file; in a notebook lines count from those of the cell."""

    file: str
    line: int | None
    code: str
    message: str
    cell: int | None = None


def place(name: str, cell: int | None, line: int | None) -> str:
    """`train.py:12`, `train.ipynb:cell 4:3`, or the name alone."""
    in_cell = f":cell {cell}" if cell is not None else ""
    return f"{name}{in_cell}:{line}" if line is not None else name


def looks(conversion: Conversion) -> list[Point]:
    """The points of a conversion that need a look."""
    file = str(conversion.script.path)
    notes = [(n, *conversion.place(n.line)) for n in conversion.plan.notes if n.kind == "look"]
    return [Point(file, line, "LC301", note.text, cell) for note, cell, line in notes]


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
        at = place(conversion.script.path.name, *conversion.place(note.line))
        lines.append(f"  {at}: {mark}: {note.text}")
    return "\n".join(lines)


def optimization(plan: Plan) -> str:
    return "automatic" if plan.automatic else "manual"


def effort(conversion: Conversion) -> str:
    """What is left to do by hand: "none", or "minutes" where a point needs a look."""
    return "minutes" if any(note.kind == "look" for note in conversion.plan.notes) else "none"


def as_sarif(points: list[Point]) -> str:
    """Refusals and points that need a look as a SARIF 2.1.0 log."""
    results = []
    for point in points:
        physical: dict[str, Any] = {"artifactLocation": {"uri": Path(point.file).as_posix()}}
        if point.line:
            physical["region"] = {"startLine": point.line}
        location: dict[str, Any] = {"physicalLocation": physical}
        if point.cell is not None:
            location["logicalLocations"] = [{"name": f"cell {point.cell}", "kind": "cell"}]
        results.append(
            {
                "ruleId": point.code,
                "level": "note" if point.code == "LC301" else "error",
                "message": {"text": point.message},
                "locations": [location],
            }
        )
    driver = {"name": "litify convert", "rules": [{"id": code} for code in sorted({p.code for p in points})]}
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(log, indent=2)


def as_json(conversion: Conversion, out: Path, verdict: dict[str, Any] | None = None) -> str:
    """The report for programs: stable keys, one object; `verdict`: what `litify verify --report json` says of the pair."""
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
        "notes": [_as_fields(note, conversion) for note in plan.notes],
    }
    if verdict is not None:
        fields["verification"] = verdict
    return json.dumps(fields, indent=2)


def _as_fields(note: Note, conversion: Conversion) -> dict[str, Any]:
    cell, line = conversion.place(note.line)
    where = {"line": note.line} if conversion.joined is None else {"cell": cell, "line": line}
    return {"kind": note.kind, **where, "text": note.text}
