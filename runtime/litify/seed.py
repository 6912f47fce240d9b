"""Random states: seeding them, keeping them, putting them back."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from litify.rank_zero import rank, warn
from litify.transfer import apply

VARIABLE = "PL_GLOBAL_SEED"
WORKERS_VARIABLE = "PL_SEED_WORKERS"
LARGEST = 2**32 - 1


def seed_everything(seed: int | None = None, workers: bool = False, verbose: bool = True) -> int:
    """Seed Python, NumPy and torch (all devices).

    Args:
        seed: 0 to 2**32 - 1; None takes the environment variable PL_GLOBAL_SEED, or else 0.
        workers: seed NumPy and Python in the loaders' worker processes too, each differently.
        verbose: accepted for compatibility; nothing is printed.

    Returns:
        The seed used.

    Raises:
        ValueError: the seed is out of bounds.
    """
    if seed is None:
        text = os.environ.get(VARIABLE, "0")
        if not text.lstrip("-").isdigit():
            warn(f"{VARIABLE}={text!r} is no number: the seed is 0.")
            text = "0"
        seed = int(text)
    seed = int(seed)
    if not 0 <= seed <= LARGEST:
        raise ValueError(f"seed_everything({seed}): a seed lies between 0 and {LARGEST}.")
    os.environ[VARIABLE] = str(seed)
    os.environ[WORKERS_VARIABLE] = str(int(workers))
    random.seed(seed)
    np = _numpy()
    if np is not None:
        np.random.seed(seed)
    torch.manual_seed(seed)
    return seed


def seed_worker(worker_id: int) -> None:
    """`worker_init_fn` that gives each worker of each rank its own NumPy and Python state."""
    base = torch.initial_seed() + rank() * 2**16
    torch.manual_seed(base % 2**63)
    random.seed(base)
    np = _numpy()
    if np is not None:
        np.random.seed(base % 2**32)


def rng_state(cuda: bool = True) -> dict[str, Any]:
    """The random states of torch (CPU and CUDA), NumPy and Python; `plain` makes of them what a checkpoint may hold."""
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    np = _numpy()
    if np is not None:
        state["numpy"] = np.random.get_state()
    if cuda:
        state["torch.cuda"] = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return state


def plain(state: dict[str, Any]) -> dict[str, Any]:
    """What `rng_state` returned, of plain types: bytes for torch's states, a list for NumPy's array."""
    found = dict(state)
    for key in state.keys() & {"torch", "torch.cuda"}:
        found[key] = apply(state[key], lambda tensor: tensor.numpy().tobytes())
    if "numpy" in state:
        name, keys, *rest = state["numpy"]
        found["numpy"] = (name, keys.tolist(), *rest)
    return found


def set_rng_state(state: dict[str, Any]) -> None:
    """Put back what `rng_state` or `plain` returned."""
    torch.set_rng_state(_tensor(state["torch"]))
    if "torch.cuda" in state:
        torch.cuda.set_rng_state_all([_tensor(each) for each in state["torch.cuda"]])
    np = _numpy()
    if np is not None and "numpy" in state:
        name, keys, *rest = state["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))


def _tensor(state: torch.Tensor | bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(state), dtype=torch.uint8) if isinstance(state, bytes) else state


@contextmanager
def isolate_rng(include_cuda: bool = True) -> Iterator[None]:
    """Random states after the block are what they were before."""
    state = rng_state(include_cuda)
    try:
        yield
    finally:
        set_rng_state(state)


def _numpy() -> Any:
    """NumPy, when it is installed: torch works without."""
    try:
        import numpy as np
    except ImportError:
        return None
    return np
