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

from litify import discover, flags, launch
from litify.errors import LitifyError, MisconfigurationException

Command = TypeVar("Command", bound=Callable[..., Any])


def number_or_fraction(text: str) -> int | float:
    """How many batches: `10` is ten of them, `0.5` half, `1.0` all."""
    try:
        return int(text)
    except ValueError:
        return float(text)


number_or_fraction.__name__ = "N|FRACTION"

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

DEVICE_FLAGS = ("gpus", "devices", "tpu_cores", "num_processes", "accelerator")
# accelerator -> those it may stand for, and what a person calls them
HARDWARE = {
    "gpu": (("cuda", "mps"), "GPU(s) that torch can use"),
    "cuda": (("cuda",), "CUDA GPU(s) that torch can use"),
    "mps": (("mps",), "Apple GPU(s) that torch can use"),
    "tpu": (("tpu",), "TPU core(s) that torch_xla can use; take all of them, or 1"),
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
    type=click.IntRange(min=1),
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
    if launch.world() is not None:
        launch.enter_worker()
        return
    cluster = launch.Cluster(
        options["num_nodes"] or 1,
        options["node_rank"],
        options["rdzv_endpoint"] or "",
        options["max_restarts"] or 0,
    )
    cluster.check()
    flags.hand_over(given)
    cluster.to_environment()
    chosen = chosen_devices(options, given)
    if options["dry_run"]:
        show_plan(script, arguments, given, cluster, chosen)
        sys.exit(0)
    if chosen is not None and given.get("accelerator") != "tpu" and len(chosen) * cluster.num_nodes > 1:
        sys.exit(launch.launch(len(chosen), cluster))


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
    if options["num_nodes"] is not None:
        given["num_nodes"] = options["num_nodes"]
    checkpoint = given.get("ckpt_path")
    if checkpoint not in (None, "last", "best", "hpc") and not Path(checkpoint).is_file():
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


def chosen_devices(options: Mapping[str, Any], given: Mapping[str, Any]) -> list[Any] | None:
    """The devices of this node that the flags choose, checked to be there; None when they leave it to the script.

    Raises:
        LitifyError: no such hardware here, fewer devices than asked for (it says how many there are), torch_xla missing.
    """
    name = given.get("accelerator", "auto")
    chooses = "devices" in given or "num_nodes" in given
    if not chooses and name == "auto":
        return None
    from litify import accelerators  # imports torch
    from litify.accelerators.xla import torch_xla

    if name == "tpu":
        torch_xla()
    try:
        accelerator = accelerators.make(name)
        return accelerator.select(given.get("devices", "auto")) if chooses else None
    except MisconfigurationException as error:
        if name not in HARDWARE:
            raise
        kinds, words = HARDWARE[name]
        count = sum(accelerators.load(kind).device_count() for kind in kinds)
        asked = " ".join(
            f"--{flag.replace('_', '-')} {options[flag]}"
            for flag in DEVICE_FLAGS
            if options[flag] is not None
        )
        raise discover.ScriptError(f"{asked}: this machine has {count} {words}") from error


def show_plan(
    script: discover.Script,
    arguments: Sequence[str],
    given: Mapping[str, Any],
    cluster: launch.Cluster,
    devices: Sequence[Any] | None,
) -> None:
    """Print what would run where, one line a process."""
    how = "as a script" if script.trains_when_run else "by its classes"
    click.echo(f"file       {script.path}, {how}")
    if arguments:
        click.echo(f"arguments  {' '.join(arguments)}")
    for name, value in given.items():
        click.echo(f"flag       {name}={value!r}")
    if devices is None:
        click.echo("processes  as the script's Trainer says")
        return
    if given.get("accelerator") == "tpu":
        click.echo(f"processes  1, over {len(devices)} cores (SPMD)")
        return
    click.echo(f"processes  {len(devices) * cluster.num_nodes} on {cluster.num_nodes} node(s)")
    if cluster.num_nodes > 1 and cluster.node_rank is None:
        click.echo(f"meet at    {cluster.rdzv_endpoint}; ranks are given there, {len(devices)} to each node")
    first = (cluster.node_rank or 0) * len(devices)
    for index, device in enumerate(devices):
        click.echo(f"  rank {first + index}  local rank {index}  {device}")


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
