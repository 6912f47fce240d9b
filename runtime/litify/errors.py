"""The errors litify raises. All say what, where and what to do next, in one line.

Exception
└── LitifyError                          everything litify raises by itself
    ├── MisconfigurationException (ValueError)   the Trainer, a module or a callback was put together wrongly
    ├── CheckpointError                  a checkpoint cannot be read, or is not of this model
    └── MissingExtra (ModuleNotFoundError)       a package of an extra is not installed
SystemExit
├── Interrupted                          Ctrl-C during fit: exit code 130
├── SIGTERMException                     told to end during fit: exit code 143
└── Requeued                             SLURM runs this job again: exit code 75
BaseException
└── SearchOver                           a Tuner has what it wanted; never leaves the Trainer
"""

from __future__ import annotations


class LitifyError(Exception):
    """Base of the errors litify raises by itself."""


class MisconfigurationException(LitifyError, ValueError):
    """The Trainer, a module, a callback or the data were put together in a way that cannot work."""


class CheckpointError(LitifyError, RuntimeError):
    """A checkpoint file cannot be read, is cut short, or does not belong to this model."""


class MissingExtra(LitifyError, ModuleNotFoundError):
    """A package that an extra installs is missing; the message names the extra."""


class Interrupted(SystemExit):
    """Ctrl-C during fit. Leaves with exit code 130 (128 + SIGINT), as shells expect."""

    def __init__(self, message: str = "") -> None:
        super().__init__(130)
        self.message = message


class Requeued(SystemExit):
    """A time limit is near, a checkpoint is written and the job is put back into its queue."""


class SearchOver(BaseException):
    """Ends a call that only searched (Tuner): what is cleaned up, is cleaned up as after a success."""


class SIGTERMException(SystemExit):
    """The process was told to end (SIGTERM); leaves with exit code 143 once loggers and checkpoints are written."""

    def __init__(self) -> None:
        super().__init__(143)


class WorkersDone(SystemExit):
    """The processes that this one started have ended; it ends with their exit code, and has nothing of its own to clean up."""
