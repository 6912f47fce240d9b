"""SLURM's time limit: a checkpoint when its signal comes, `scontrol requeue`, and going on from there in the requeued job."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from litify import launch, restarts, slurm
from litify.callbacks.base import Callback
from litify.due import steps_after
from litify.errors import Requeued
from litify.plugins.environments import ClusterEnvironment, SLURMEnvironment
from litify.rank_zero import say, warn

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.strategies.base import Strategy
    from litify.trainer import Trainer


class SLURMRequeue(Callback):
    """Part of every fit in a job of SLURM, unless `SLURMEnvironment(auto_requeue=False)` is given.

    With `#SBATCH --signal=SIGUSR1@90` SLURM sends SIGUSR1 to all tasks 90 seconds before the time limit. After the running batch
    (with accumulation: after that which steps) all processes save a checkpoint, rank 0 has SLURM put the job back into its queue, and
    training ends. In the requeued job, which runs the same script, fit goes on from that checkpoint.

    Where SLURM refuses to requeue, training goes on until the limit; the checkpoint is kept.
    """

    def __init__(self, requeue_signal: signal.Signals) -> None:
        self.requeue_signal = requeue_signal
        self.asked = self.refused = False
        self._before: Any = None
        self._together: Agreement | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        free = signal.getsignal(self.requeue_signal) in (None, signal.SIG_DFL)
        if threading.current_thread() is threading.main_thread() and free:
            self.asked = self.refused = False
            self._before = signal.signal(self.requeue_signal, self._ask)
        self._together = Agreement() if trainer.world_size > 1 else None

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        asked = self.asked if self._together is None else self._together.any(self.asked)
        if asked and not self.refused:
            trainer.interrupt_asked = lambda: self._save_and_requeue(trainer)

    def _save_and_requeue(self, trainer: Trainer) -> None:
        assert trainer.job is not None
        if trainer.job.automatic and not steps_after(trainer.job, trainer.state, trainer.state.batch_idx):
            return
        self.asked, trainer.interrupt_asked = False, None
        path = checkpoint_of(trainer.default_root_dir)
        trainer.save_checkpoint(path)
        error = trainer.strategy.broadcast(requeue() if trainer.is_global_zero else None)
        if error:
            self.refused = True  # the signal may still reach other processes
            warn(f"SLURM does not requeue this job ({error}): training goes on until its end; saved {path}.")
            return
        say(f"litify: time limit near: saved {path}, job {slurm.job()} is requeued and goes on from there")
        raise Requeued(launch.note_requeued())

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._disarm()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._disarm()

    def _disarm(self) -> None:
        if self._before is not None:
            signal.signal(self.requeue_signal, self._before)
            self._before = None
        self._together = None


class Agreement:
    """Which batch is the last, for all processes alike: a signal reaches each of them in another one.

    A flag is exchanged after each batch, and read a batch later, when it has long arrived: nobody waits for it.
    """

    def __init__(self) -> None:
        # On the CPU, as waiting for a GPU would hold up its queue.
        self._group = dist.new_group(backend="gloo")
        self._flag = torch.zeros(1)
        self._work: Any = None

    def any(self, mine: bool) -> bool:
        """Whether any process said True the last time. All must ask equally often."""
        if self._work is not None:
            self._work.wait()
        found = bool(self._flag)
        self._flag = torch.tensor([float(mine)])
        self._work = dist.all_reduce(self._flag, dist.ReduceOp.MAX, group=self._group, async_op=True)
        return found


def callback_for(strategy: Strategy) -> SLURMRequeue | None:
    """The callback that a fit with this strategy needs; None outside of SLURM and where requeueing is turned off."""
    if slurm.job() is None:
        return None
    environment: ClusterEnvironment | None = getattr(strategy, "_environment", None)
    if not isinstance(environment, SLURMEnvironment):
        environment = SLURMEnvironment()
    if not environment.auto_requeue or environment.requeue_signal is None:
        return None
    return SLURMRequeue(environment.requeue_signal)


def checkpoint_of(root: str) -> Path:
    """Where the running fit of this job is saved: each job has a folder, each fit of its script a file."""
    return Path(root) / f"slurm_{slurm.job()}" / f"hpc_ckpt_{restarts.fits}.ckpt"


def left_by_signal(root: str) -> list[str]:
    """The checkpoint that this fit left when this same job was requeued, if it was."""
    path = checkpoint_of(root)
    return [str(path)] if slurm.job() is not None and path.exists() else []


def newest(root: str) -> list[str]:
    """Checkpoints that time limits have left, of any job, the newest first; also those of Lightning."""
    found = [*Path(root).glob("slurm_*/hpc_ckpt_*.ckpt"), *Path(root).glob("hpc_ckpt_*.ckpt")]
    return [str(path) for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)]


def requeue() -> str:
    """Ask SLURM to run this job again from its beginning. Returns what is wrong, "" when nothing is."""
    try:
        done = subprocess.run(
            ["scontrol", "requeue", str(slurm.job())], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return done.stderr.strip() or f"scontrol ended with exit code {done.returncode}"
