"""`litify run FILE`: train a script, or the classes of a file, on whatever hardware the flags name."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import click

from litify import discover, flags, launch, plan, slurm
from litify.errors import LitifyError
from litify.rank_zero import rank

Command = TypeVar("Command", bound=Callable[..., Any])


def number_or_fraction(text: str) -> int | float:
    """How many batches: `10` is ten of them, `0.5` half, `1.0` all."""
    try:
        return int(text)
    except ValueError:
        return float(text)


number_or_fraction.__name__ = "N|FRACTION"


class Nodes(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A number of machines; torchrun's MIN:MAX only where the two are the same."""

    name = "N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        least, _, most = str(value).partition(":")
        if not least.isdigit() or int(least) < 1 or most not in ("", least):
            self.fail(
                f"{value!r}: give a number of machines, which stays the same while they train.", param, ctx
            )
        return int(least)


# Passed on to Trainer(...), or Trainer.fit(...), as they are.
TRAINER_OPTIONS: dict[str, tuple[Any, str]] = {
    "--precision": (str, "64, 32, 16, bf16, 16-mixed, bf16-mixed, bf16-true ..."),
    "--strategy": (str, "auto, ddp, xla ... (default: what the devices need)."),
    "--max-epochs": (int, "Stop after this many epochs."),
    "--max-steps": (int, "Stop after this many optimizer steps."),
    "--limit-train-batches": (number_or_fraction, "Batches of each training epoch: a number, or a fraction."),
    "--limit-val-batches": (number_or_fraction, "Batches of each validation: a number, or a fraction."),
    "--accumulate-grad-batches": (click.IntRange(min=1), "Batches whose gradients make one optimizer step."),
    "--gradient-clip-val": (float, "Largest norm of the gradients."),
    "--log-every-n-steps": (click.IntRange(min=0), "How often metrics of a step are written."),
    "--default-root-dir": (click.Path(), "Where logs and checkpoints go."),
    "--ckpt-path": (str, "Go on from this checkpoint ('last': from the newest)."),
}


def trainer_options(command: Command) -> Command:
    for name, (kind, text) in reversed(TRAINER_OPTIONS.items()):
        metavar = getattr(kind, "__name__", None) if kind is number_or_fraction else None
        command = click.option(name, type=kind, metavar=metavar, help=text)(command)
    return command


@click.command(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: name.replace("_", "-"),
    }
)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- SCRIPT ARGUMENTS]")
@click.option("--gpus", metavar="N|IDS|auto|-1", help="GPUs of this machine: how many, or which (0,2).")
@click.option(
    "--devices", "--nproc-per-node", metavar="N|IDS|auto|-1", help="Devices of the accelerator, likewise."
)
@click.option(
    "--accelerator", type=click.Choice(["auto", "cpu", "gpu", "cuda", "mps", "tpu"]), help="Kind of hardware."
)
@click.option("--tpu-cores", metavar="N", help="TPU cores, in one process.")
@click.option("--num-processes", type=click.IntRange(min=1), metavar="N", help="Processes on the CPU.")
@click.option(
    "--num-nodes",
    "--nnodes",
    type=Nodes(),
    envvar="PET_NNODES",
    help="Machines that train together.",
)
@click.option(
    "--node-rank",
    type=click.IntRange(min=0),
    envvar="PET_NODE_RANK",
    help="Which of them this one is, from 0.",
)
@click.option(
    "--rdzv-endpoint",
    metavar="HOST:PORT",
    envvar="PET_RDZV_ENDPOINT",
    help="Where nodes meet: an address of node 0.",
)
@click.option(
    "--max-restarts",
    type=click.IntRange(min=0),
    envvar="PET_MAX_RESTARTS",
    help="Starts after a failed worker.",
)
@trainer_options
@click.option("--compile", is_flag=True, help="torch.compile the networks that the module holds.")
@click.option("--fast-dev-run", is_flag=True, help="One batch of everything, to see that it runs.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Seed Python, NumPy and torch before the script starts."
)
@click.option("--dry-run", is_flag=True, help="Print the plan of processes and devices; start nothing.")
def run(file: Path, arguments: tuple[str, ...], **options: Any) -> None:
    """Train FILE: a script with a main of its own, or a file of one LightningModule and one LightningDataModule.

    Flags lie over what the script passes to its Trainer. What follows `--` goes to the script; where there is no main, it
    builds the classes: --model.NAME, --data.NAME, --config FILE.

    \b
      litify run train_lit.py --gpus 4 --precision 16
      litify run train_lit.py --devices 2 --accelerator cpu -- --epochs 3
      litify run module.py --max-epochs 5 -- --model.lr 0.1

    Exit codes: the script's own; 2 wrong use, 130 interrupted.
    """
    try:
        check_torch()
        script = discover.read(file)
        given = trainer_flags(options)
        check_reach(script, given)
        prepare(script, arguments, given, options)
    except (LitifyError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    execute(script, arguments, options["seed"])


def prepare(
    script: discover.Script, arguments: Sequence[str], given: dict[str, Any], options: Mapping[str, Any]
) -> None:
    """Set the environment for the Trainer; in the process that the user started, plan, show or start workers."""
    if slurm.is_task() and slurm.tasks() > 1 and "num_nodes" not in given:
        given["num_nodes"] = slurm.nodes()
    flags.hand_over(given)
    place = launch.world()
    if place is not None and not options["dry_run"]:
        launch.enter_worker()
        plan.take_device(given, place.local_rank)
        return
    chosen = plan.make(given, options)
    by_srun = slurm.is_task() and slurm.tasks() > 1 and (slurm.tasks_per_node() > 1 or chosen.devices is None)
    cluster = launch.Cluster(
        given.get("num_nodes", 1),
        options["node_rank"],
        options["rdzv_endpoint"] or "",
        options["max_restarts"] or 0,
    ).with_slurm()
    if not by_srun:
        cluster.check()
    cluster.to_environment()
    if options["dry_run"]:
        if rank() == 0:
            click.echo("\n".join(plan.describe(script, arguments, given, cluster, chosen)))
        sys.exit(0)
    processes = len(chosen.devices or ())
    if chosen.starts_processes and processes * cluster.num_nodes > 1 and not by_srun:
        sys.exit(launch.launch(processes, cluster))
    if processes == 1:
        plan.take_device(given, 0)


# -- flags --------------------------------------------------------------------------------------------------------------


def trainer_flags(options: Mapping[str, Any]) -> dict[str, Any]:
    """The Trainer's arguments among the options, those that were given.

    Raises:
        click.UsageError: two flags that choose devices, or a value that is none.
    """
    names = [name[2:].replace("-", "_") for name in TRAINER_OPTIONS]
    given = {name: options[name] for name in names if options[name] is not None}
    if options["fast_dev_run"]:
        given["fast_dev_run"] = True
    if options["compile"]:
        given["compile"] = True
    if options["num_nodes"] is not None:
        given["num_nodes"] = options["num_nodes"]
    checkpoint = given.get("ckpt_path")
    if checkpoint not in (None, "last", "best", "hpc") and not Path(checkpoint).exists():
        raise click.UsageError(f"--ckpt-path {checkpoint}: no such file")
    return {**device_flags(options), **given}


def device_flags(options: Mapping[str, Any]) -> dict[str, Any]:
    """`accelerator` and `devices` from whichever of the spellings was used."""
    kinds = {"devices": options["accelerator"], "gpus": "gpu", "tpu_cores": "tpu", "num_processes": "cpu"}
    used = [name for name in kinds if options[name] is not None]
    if len(used) > 1:
        both = " and ".join("--" + name.replace("_", "-") for name in used)
        raise click.UsageError(f"{both} both choose the devices; give one")
    if not used:
        return {} if options["accelerator"] is None else {"accelerator": options["accelerator"]}
    accelerator, asked, value = kinds[used[0]], options["accelerator"], options[used[0]]
    if asked not in (None, "auto", accelerator) and (accelerator, asked) not in (
        ("gpu", "cuda"),
        ("gpu", "mps"),
    ):
        raise click.UsageError(
            f"--{used[0].replace('_', '-')} does not go with --accelerator {asked}; leave one out"
        )
    if value in ("gpu", "cpu"):  # torchrun's --nproc-per-node gpu
        return {"accelerator": value, "devices": -1}
    devices = parse_devices(used[0], value)
    if used[0] == "gpus" and devices == 0:
        return {"accelerator": "cpu", "devices": 1}
    if accelerator is None:
        return {"devices": devices}
    return {"accelerator": asked if asked not in (None, "auto") else accelerator, "devices": devices}


def parse_devices(option: str, value: str | int) -> int | str | list[int]:
    """`2` is a number of devices, `0,2` and `1,` are indices, `auto` and `-1` stay."""
    text = str(value).strip()
    if text in ("auto", "-1", "all"):
        return "auto" if text == "auto" else -1
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdigit() for part in parts):
        flag = "--" + option.replace("_", "-")
        raise click.UsageError(f"{flag} {value}: give a number, indices like 0,2, 'auto', or -1 for all")
    return [int(part) for part in parts] if "," in text else int(parts[0])


# -- checks before anything starts ----------------------------------------------------------------------------------------


def check_reach(script: discover.Script, given: Mapping[str, Any]) -> None:
    """Refuse flags that could have no effect: the file's Trainer, if any, does not read them."""
    name = script.path.name
    if not script.trains_when_run:
        if script.trainer_from == "lightning":
            raise discover.ScriptError(
                f"{script.path} has no main, and its classes are Lightning's; import them from litify, or give it a main"
            )
        return
    if not given or script.trainer_from == "litify":
        return
    shown = " ".join("--" + flag.replace("_", "-") for flag in given)
    if script.trainer_from == "lightning":
        raise discover.ScriptError(
            f"{name} takes its Trainer from lightning, which {shown} cannot reach; import it from litify, or pass them in the script"
        )
    raise discover.ScriptError(
        f"{name} uses no Trainer, so {shown} would have no effect; try `litify convert {name}`"
    )


def check_torch() -> None:
    if find_spec("torch") is None:
        raise discover.ScriptError("training needs the run extra: pip install 'litify[run]'")


# -- running ----------------------------------------------------------------------------------------------------------------


def execute(script: discover.Script, arguments: Sequence[str], seed: int | None) -> None:
    """Run the file in this process, as `python FILE ARGUMENTS` would, or train its classes.

    Ends the process as the script would: its exit code passes through, its traceback starts in its own file.
    """
    path = str(script.path)
    sys.argv = [path, *arguments]
    if not getattr(sys.flags, "safe_path", False):  # then Python would not add the folder either
        sys.path[0] = str(script.path.resolve().parent)
    try:
        if script.trains_when_run:
            if seed is not None:
                from litify import seed_everything

                seed_everything(seed)
            runpy.run_path(path, run_name="__main__")
        else:
            discover.train_classes(script.path, arguments, seed)
    except LitifyError as error:
        refuse(error, path)
    except KeyboardInterrupt:
        if launch.world() is None:
            raise
        sys.exit(launch.INTERRUPTED)  # a worker: the launcher says it, once
    except Exception as error:
        trace = frames_of(error.__traceback__, path) or error.__traceback__
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        sys.exit(1)


def refuse(error: LitifyError, path: str) -> NoReturn:
    """One line with the place in the user's file where the error came up, once for all workers; exit code 2."""
    trace, line = frames_of(error.__traceback__, path), 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    if launch.first_to_fail():
        where = f"{path}:{line}: " if line else ""
        click.echo(f"litify run: error: {where}{error}", err=True)
    sys.stderr.flush()
    sys.exit(2)


def frames_of(trace: TracebackType | None, path: str) -> TracebackType | None:
    """The part of a traceback from the first frame in the file `path` on; None when there is no such frame."""
    while trace is not None and os.path.abspath(trace.tb_frame.f_code.co_filename) != os.path.abspath(path):
        trace = trace.tb_next
    return trace
