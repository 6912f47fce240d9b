"""What a training script is assembled from: one choice per dimension, each a shape that public scripts have."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

DIMENSIONS: dict[str, tuple[str, ...]] = {
    "place": ("module", "guard", "main", "one-function", "train-arguments", "train-globals", "train-in-main",
              "step-function", "folds"),
    "source": ("loader", "enumerate", "enumerate-1", "batch-name", "tqdm", "bar", "slices", "permutation", "full",
               "zip", "get-batch", "iterator"),
    "epochs": ("range", "from-1", "start-resumed", "trange", "while", "enumerated", "list", "else"),
    "step": ("plain", "zero-late", "zero-after", "model-zero", "clip", "clip-early", "accumulate", "two-optimizers",
             "alternate", "closure", "inline-loss", "loss-changed-after", "skip-step", "in-if"),
    "state": ("none", "running-loss", "sample-mean", "counts", "hidden", "hidden-kept", "ema", "list", "global-step",
              "last-loss"),
    "schedule": ("none", "step-lr", "step-lr-early", "step-lr-before", "per-batch", "manual", "adjust-function",
                 "plateau", "printed-rate"),
    "evaluation": ("none", "function", "function-globals", "function-no-eval", "returned", "best", "inline", "sticky",
                   "every-2", "on-train", "twice", "before-too"),
    "control": ("none", "break-top", "break-end", "continue", "early-stop", "epoch-continue", "interrupt",
                "reseeded"),
    "after": ("none", "loss", "epoch", "weights", "evaluate-again"),
    "device": ("none", "device", "cuda-if"),
}  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """One choice per dimension; the defaults are the plainest."""

    place: str = "module"
    source: str = "loader"
    epochs: str = "range"
    step: str = "plain"
    state: str = "none"
    schedule: str = "none"
    evaluation: str = "none"
    control: str = "none"
    after: str = "none"
    device: str = "none"

    def simpler(self) -> list[Choice]:
        """The same with one dimension at its default: how a failing choice is made small."""
        plain = Choice()
        return [
            replace(self, **{f.name: getattr(plain, f.name)})
            for f in fields(self)
            if getattr(self, f.name) != getattr(plain, f.name)
        ]

    def __str__(self) -> str:
        plain = Choice()
        names = [f.name for f in fields(self) if getattr(self, f.name) != getattr(plain, f.name)]
        return " ".join(f"{name}={getattr(self, name)}" for name in names) or "plain"


def possible(choice: Choice) -> Choice:
    """The choice with what can't be written that way (a `break` in a function called for each batch) left out."""
    if choice.place == "step-function" and choice.control in ("break-top", "break-end", "continue"):
        choice = replace(choice, control="none")
    if choice.place == "train-in-main" and choice.control in ("early-stop", "epoch-continue"):
        choice = replace(choice, control="none")
    if choice.place in ("train-in-main", "one-function") and choice.after == "loss":
        choice = replace(choice, after="none")
    if choice.step == "closure" and choice.state in ("hidden", "hidden-kept"):
        choice = replace(choice, state="none")
    if choice.source == "full" and choice.control in ("break-top", "break-end", "continue"):
        choice = replace(choice, control="none")
    if choice.epochs == "while" and choice.control == "epoch-continue":
        choice = replace(choice, control="none")  # it would never end
    if choice.place in ("main", "train-in-main", "one-function") and choice.evaluation == "function-globals":
        choice = replace(choice, evaluation="function")  # its globals would be locals there
    if choice.place == "step-function" and choice.after == "loss":
        choice = replace(choice, after="none")
    if choice.place == "one-function" and choice.after == "epoch":
        choice = replace(choice, after="none")
    if choice.place == "step-function" and choice.source == "bar":
        choice = replace(choice, source="tqdm")
    if choice.epochs == "else" and choice.control == "early-stop":
        choice = replace(choice, control="none")  # refused: the else branch depends on the break
    return choice
