"""The place in training as Lightning's checkpoints spell it: the counters of its nested loops."""

from __future__ import annotations

from typing import Any

from litify.state import Phase, State

Counters = dict[str, Any]


def _processed(ready: int, started: int, processed: int, completed: int) -> Counters:
    return {"ready": ready, "completed": completed, "started": started, "processed": processed}


def _batches(total: Counters, current: Counters, last: bool) -> Counters:
    return {"total": total, "current": current, "is_last_batch": last}


def to_loops(state: State, automatic: bool) -> dict[str, Any]:
    """The "loops" of a checkpoint, from our counters."""
    return {
        "fit_loop": _fit_loop(state, automatic),
        "validate_loop": _eval_loop(),
        "test_loop": _eval_loop(),
        "predict_loop": {"state_dict": {}, "batch_progress": _empty(False)},
    }


def _empty(last: bool | None = None) -> Counters:
    zero = _processed(0, 0, 0, 0)
    found: Counters = {"total": dict(zero), "current": dict(zero)}
    return found if last is None else {**found, "is_last_batch": last}


def _eval_loop() -> Counters:
    return {"state_dict": {}, "batch_progress": _empty(False)}


def _fit_loop(state: State, automatic: bool) -> Counters:
    within = state.phase not in (Phase.BETWEEN, Phase.EPOCH_END)
    begun = state.epochs_processed + (1 if within else 0)
    epoch = _processed(begun, begun, state.epochs_processed, state.epoch)
    # In on_train_batch_end the running batch is processed, but not yet completed.
    pending = 1 if state.phase is Phase.BATCH_END else 0
    total, current = state.total_batches, state.batch
    steps = {"ready": state.optimizer_steps, "completed": state.optimizer_steps}
    zeroed = {**steps, "started": state.optimizer_steps}
    own_steps = {"ready": 0, "completed": 0}
    return {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": state.batches_stepped},
        "epoch_loop.batch_progress": _batches(
            _processed(total, total, total, total - pending),
            _processed(current, current, current, current - pending),
            state.is_last_batch,
        ),
        "epoch_loop.scheduler_progress": {"total": dict(own_steps), "current": dict(own_steps)},
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {
                "step": {
                    "total": dict(steps if automatic else own_steps),
                    "current": dict(steps if automatic else own_steps),
                },
                "zero_grad": {"total": dict(zeroed), "current": dict(zeroed)},
            }
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": {
            "total": dict(own_steps if automatic else steps),
            "current": dict(own_steps if automatic else steps),
        },
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": _empty(state.phase is Phase.VALIDATED),
        "epoch_progress": {"total": dict(epoch), "current": dict(epoch)},
    }


def from_loops(loop: Counters) -> dict[str, Any]:
    """Our counters, from the "fit_loop" of a checkpoint that Lightning wrote."""
    epoch = loop["epoch_progress"]["current"]
    batch = loop["epoch_loop.batch_progress"]
    automatic = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"][
        "completed"
    ]
    manual = loop["epoch_loop.manual_optimization.optim_step_progress"]["total"]["completed"]
    last, done = batch["is_last_batch"], batch["current"]["processed"]
    stepped = loop["epoch_loop.state_dict"].get("_batches_that_stepped", 0)
    if epoch["ready"] == epoch["processed"]:
        phase = Phase.EPOCH_END if epoch["completed"] < epoch["processed"] else Phase.BETWEEN
    elif batch["current"]["completed"] < done:
        phase = Phase.BATCH_END
    else:
        phase = Phase.VALIDATED
    return {
        "epoch": epoch["completed"],
        "epochs_processed": epoch["processed"],
        "batch": 0 if phase in (Phase.BETWEEN, Phase.EPOCH_END) else done,
        "batch_idx": done - 1,
        "total_batches": batch["total"]["processed"],
        "is_last_batch": last,
        "optimizer_steps": automatic or manual,
        "batches_stepped": stepped,
        "phase": phase,
    }
