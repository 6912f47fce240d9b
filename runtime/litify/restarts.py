"""What a worker that the elastic agent started anew may know of the attempt before: notes in the agent's folder.

With --max-restarts, torchrun's agent starts all workers again after one failed. The script then runs from its beginning: loggers
write into the folders they had, and each fit goes on from the newest checkpoint that the same fit has written.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

_asked: Counter[str] = Counter()
fits = 0
"""How many times this process has called fit. A script takes the same calls in each attempt."""


def notes() -> Path | None:
    """The file of this node's notes; None in a process that would not be started again.

    The agent has a folder for the job, in it one for each attempt, in that one for each worker, and there the worker's error file.
    """
    error_file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if error_file is None or os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") == "0":
        return None
    return Path(error_file).parents[2] / "notes.jsonl"


def note(key: str, value: int | str) -> None:
    """Leave a value for the next attempt. One worker of each node writes, as any node may have rank 0 then."""
    path = notes()
    if path is None or os.environ.get("LOCAL_RANK", "0") != "0":
        return
    with open(path, "a") as file:
        file.write(json.dumps([key, value]) + "\n")


def noted(key: str) -> Iterator[int | str]:
    """The values left under a key by this attempt and those before it, in their order."""
    path = notes()
    if path is None or not path.exists():
        return
    for line in path.read_text().splitlines():
        found, value = json.loads(line)
        if found == key:
            yield value


def as_before(key: str, make: Callable[[], int]) -> int:
    """What `make` gave in the attempt before, when it was asked as many times as now; else what it gives."""
    before = list(noted(key))
    turn = _asked[key]
    _asked[key] += 1
    if turn < len(before):
        return int(before[turn])
    value = make()
    note(key, value)
    return value


def begin_fit() -> None:
    """A call of fit begins: what is noted and looked up from now on is its own."""
    global fits
    fits += 1


def note_checkpoint(path: str | Path) -> None:
    """The running fit has written a checkpoint that it could go on from."""
    note(f"checkpoint of fit {fits}", os.path.abspath(path))


def checkpoints() -> list[str]:
    """Checkpoints that this fit has written in the attempts before and that are still there, the newest first."""
    paths = [str(path) for path in noted(f"checkpoint of fit {fits}")]
    return [path for path in dict.fromkeys(reversed(paths)) if os.path.exists(path)]
