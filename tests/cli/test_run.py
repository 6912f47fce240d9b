"""`litify run`: flags, plans and refusals; what happens before and around training."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from litify import plan
from litify.commands import run as command
from litify.discover import read

HEAD = "from litify import LightningModule, LightningDataModule, Trainer\n"
SCRIPT = HEAD + "import sys\nif __name__ == '__main__':\n    print('ran', *sys.argv[1:])\n"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def litify_run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LITIFY_", "PET_"))}
    return subprocess.run(
        [sys.executable, "-m", "litify", "run", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**clean, "OMP_NUM_THREADS": "1", **environment},
        timeout=120,
    )


def refused(*arguments: object, **environment: str) -> str:
    """What was said, which must be one line, with exit code 2 and nothing run."""
    result = litify_run(*arguments, **environment)
    assert (result.returncode, result.stdout) == (2, ""), result
    line = result.stderr.strip()
    assert "\n" not in line and "litify run: error: " in line, result.stderr
    return line.partition("litify run: error: ")[2]


# -- the script is run as `python FILE` would ---------------------------------------------------------------------------


def test_a_script_runs_as_python_would_run_it(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("value = 7\n")
    path = tmp_path / "train.py"
    path.write_text(
        "import sys, beside, pickle\n"
        "class Kept: pass\n"
        "if __name__ == '__main__':\n"
        "    pickle.dumps(Kept())\n"
        "    print(beside.value, sys.argv, __file__, __name__)\n"
        "    sys.exit(5)\n"
    )
    result = litify_run(path, "--", "--epochs", "3", "--gpus=2")
    assert result.returncode == 5, result.stderr
    assert result.stdout.strip() == f"7 {[str(path), '--epochs', '3', '--gpus=2']} {path} __main__"


def test_a_traceback_starts_in_the_script(script: Path) -> None:
    script.write_text("def fail():\n    raise KeyError('lost')\nfail()\n")
    result = litify_run(script)
    assert result.returncode == 1
    lines = result.stderr.strip().splitlines()
    assert lines[0].startswith("Traceback") and f'"{script}", line 3' in lines[1]
    assert lines[-1] == "KeyError: 'lost'"


# -- refusals -----------------------------------------------------------------------------------------------------------


def test_what_is_no_script_is_refused_in_one_line(tmp_path: Path) -> None:
    broken, binary, latin = tmp_path / "broken.py", tmp_path / "binary.py", tmp_path / "latin.py"
    broken.write_text("x = 1\nprint 'python 2'\n")
    binary.write_bytes(b"\x00\x01\x02")
    latin.write_bytes(b"x = '\xe9'\n")
    assert refused(tmp_path / "none.py") == f"{tmp_path / 'none.py'}: no such file"
    assert refused(tmp_path) == f"{tmp_path} is a folder; name the script in it"
    assert refused(broken).startswith(f"{broken}:2: Missing parentheses")
    assert "not Python source" in refused(binary)
    assert "not Python source" in refused(latin)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--nonsense", "1"], "No such option"),
        (["--gpus", "2", "--devices", "2"], "--devices and --gpus both choose the devices; give one"),
        (["--gpus", "2", "--accelerator", "cpu"], "--gpus does not go with --accelerator cpu; leave one out"),
        (["--devices", "two"], "--devices two: give a number, indices like 0,2, 'auto', or -1 for all"),
        (["--ckpt-path", "none.ckpt"], "--ckpt-path none.ckpt: no such file"),
        (["--num-nodes", "2", "--devices", "1"], "2 nodes need a meeting point"),
        (["--num-nodes", "2", "--node-rank", "2", "--rdzv-endpoint", "a:1"], "node rank 2 lies outside 0..1"),
        (["--max-epochs", "many"], "'many' is not a valid integer"),
        (["--nnodes", "1:4"], "'1:4': give a number of machines, which stays the same while they train"),
        (["--precision", "17"], "Trainer(precision='17'): known precisions are 64-true"),
        (
            ["--strategy", "magic"],
            "Trainer(strategy='magic'): known strategies are 'auto', single_device, ddp",
        ),
        (["--strategy", "xla", "--accelerator", "cpu"], "strategy='xla') does not go with accelerator='cpu'"),
        (
            ["--strategy", "single_device", "--num-processes", "2"],
            "one device is all it takes; pass devices=1 or",
        ),
    ],
)
def test_wrong_flags_are_refused_in_one_line(script: Path, flags: list[str], said: str) -> None:
    assert said in refused(script, *flags)


def test_a_tpu_needs_a_package(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, or made for another torch: said at once, with what to install."""
    if find_spec("torch_xla") is None:
        assert refused(script, "--tpu-cores", "8").endswith("pip install 'litify[tpu]'")
    broken = script.parent / "elsewhere"
    (broken / "torch_xla").mkdir(parents=True)
    (broken / "torch_xla" / "__init__.py").write_text("raise ImportError('undefined symbol: _ZN5torch')\n")
    metadata = broken / "torch_xla-2.5.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torch_xla\nVersion: 2.5.0\n")
    path = os.pathsep.join(filter(None, [str(broken), os.environ.get("PYTHONPATH")]))
    said = refused(script, "--tpu-cores", "8", PYTHONPATH=path, PJRT_DEVICE="CPU")
    assert said.startswith("torch_xla 2.5.0 does not load with torch "), said
    assert "install the two in the same version (undefined symbol" in said


def test_more_gpus_than_there_are_is_refused_with_their_number(script: Path) -> None:
    said = refused(script, "--gpus", "64")
    assert said.startswith("--gpus 64: this machine has ") and "GPU" in said


def test_missing_torch_names_the_extra(script: Path, tmp_path: Path) -> None:
    """An interpreter that sees litify and click, and nothing else of the environment."""
    import click

    import litify

    bare = tmp_path / "bare"
    bare.mkdir()
    for package in (click, litify):
        folder = Path(package.__file__).parent
        (bare / folder.name).symlink_to(folder)
    said = subprocess.run(
        [sys.executable, "-S", "-m", "litify", "run", str(script)],
        capture_output=True, text=True, env={"PYTHONPATH": str(bare)},
    )  # fmt: skip
    assert said.returncode == 2
    assert said.stderr.endswith(
        "litify run: error: training needs the run extra: pip install 'litify[run]'\n"
    ), said.stderr


def test_flags_that_cannot_reach_the_trainer_are_refused(script: Path) -> None:
    script.write_text("import lightning as L\nL.Trainer\nif __name__ == '__main__':\n    pass\n")
    assert refused(script, "--max-epochs", "1").startswith(
        "train.py takes its Trainer from lightning, which --max-epochs"
    )
    script.write_text("import torch\nfor step in range(2): pass\n")
    assert refused(script, "--precision", "16").endswith("try `litify convert train.py`")
    assert litify_run(script).returncode == 0


def test_a_trainer_used_by_a_module_beside_the_script_is_reached(script: Path) -> None:
    (script.parent / "engine.py").write_text("import litify\n")
    script.write_text("import engine\nif __name__ == '__main__':\n    print('ran')\n")
    assert litify_run(script, "--max-epochs", "1").stdout == "ran\n"


# -- plans --------------------------------------------------------------------------------------------------------------


def test_dry_run_shows_processes_and_starts_nothing(script: Path) -> None:
    result = litify_run(
        script, "--devices", "2", "--accelerator", "cpu", "--max_epochs", "3", "--dry-run", "--", "--lr", "1"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == (
        f"file       {script}, as a script\n"
        "arguments  --lr 1\n"
        "flag       accelerator='cpu'\n"
        "flag       devices=2\n"
        "flag       max_epochs=3\n"
        "strategy   ddp\n"
        "precision  as the script's Trainer says (default 32-true)\n"
        "processes  2 on 1 node(s)\n"
        "  rank 0  local rank 0  cpu\n"
        "  rank 1  local rank 1  cpu\n"
    )


def test_dry_run_of_a_node_shows_its_ranks(script: Path) -> None:
    nodes = ["--nnodes", "2", "--node_rank", "1", "--rdzv-endpoint", "host:29400"]
    result = litify_run(script, "--nproc-per-node", "2", "--accelerator", "cpu", *nodes, "--dry-run")
    assert "processes  4 on 2 node(s)\n  rank 2  local rank 0  cpu\n  rank 3" in result.stdout


def test_flags_under_an_outside_launcher_reach_the_trainer(script: Path) -> None:
    """`torchrun -m litify run train.py --max-epochs 3`."""
    script.write_text(HEAD + "if __name__ == '__main__':\n    print(Trainer(logger=False).max_epochs)\n")
    worker = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    result = litify_run(script, "--max-epochs", "3", **worker)
    assert (result.returncode, result.stdout) == (0, "3\n"), result.stderr


def test_a_worker_sets_up_data_on_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """`.cuda()` in a script's set-up, before its Trainer is made, must not fill the first GPU from all processes."""
    taken: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    plan.take_device({"accelerator": "gpu", "devices": [1, 3]}, local_rank=1)
    plan.take_device({"accelerator": "cpu", "devices": 2}, local_rank=1)
    plan.take_device({"accelerator": "gpu"}, local_rank=1)  # the script's Trainer chooses
    assert taken == [torch.device("cuda", 3)]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, litify.cli\n"
        "sys.argv = ['litify', 'run', '--help']\n"
        "try: litify.cli.main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'libcst', 'black', 'jsonargparse'} & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "--fast-dev-run" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


# -- flags to Trainer arguments -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"gpus": "4"}, {"accelerator": "gpu", "devices": 4}),
        ({"gpus": "0,2"}, {"accelerator": "gpu", "devices": [0, 2]}),
        ({"gpus": "1,"}, {"accelerator": "gpu", "devices": [1]}),
        ({"gpus": "-1"}, {"accelerator": "gpu", "devices": -1}),
        ({"gpus": "auto"}, {"accelerator": "gpu", "devices": "auto"}),
        ({"gpus": "0"}, {"accelerator": "cpu", "devices": 1}),
        ({"gpus": "2", "accelerator": "cuda"}, {"accelerator": "cuda", "devices": 2}),
        ({"tpu_cores": "8"}, {"accelerator": "tpu", "devices": 8}),
        ({"num_processes": 8}, {"accelerator": "cpu", "devices": 8}),
        ({"devices": "2"}, {"devices": 2}),
        ({"devices": "gpu"}, {"accelerator": "gpu", "devices": -1}),
        ({"devices": "2", "accelerator": "auto"}, {"accelerator": "auto", "devices": 2}),
        ({"accelerator": "mps"}, {"accelerator": "mps"}),
    ],
)
def test_every_spelling_of_devices(options: dict[str, object], expected: dict[str, object]) -> None:
    every = dict.fromkeys(("accelerator", "devices", "gpus", "tpu_cores", "num_processes"))
    assert command.device_flags({**every, **options}) == expected


def test_numbers_and_fractions_of_batches() -> None:
    assert [command.number_or_fraction(text) for text in ("10", "1.0", "0.25")] == [10, 1.0, 0.25]
    assert isinstance(command.number_or_fraction("1.0"), float)


# -- reading a file -----------------------------------------------------------------------------------------------------

CLASSES = HEAD + "class Net(LightningModule):\n    def training_step(self, batch): ...\n"


@pytest.mark.parametrize(
    ("source", "trains"),
    [
        (CLASSES, False),
        (CLASSES + "torch.manual_seed(0)\nfor name in 'ab': print(name)\n", False),
        (CLASSES + "scaler.fit(x)\n", False),
        (CLASSES + "if __name__ == '__main__':\n    pass\n", True),
        (CLASSES + "if '__main__' == __name__:\n    pass\n", True),
        (CLASSES + "Trainer(max_epochs=1).fit(Net())\n", True),
        (CLASSES + "trainer = Trainer()\ntrainer.fit(Net())\n", True),
        (CLASSES + "def inner():\n    trainer.fit(Net())\ndef main():\n    inner()\nmain()\n", True),
        (CLASSES + "def main():\n    trainer.fit(Net())\n", False),
        ("print('no class at all')\n", True),
    ],
)
def test_scripts_and_files_of_classes_are_told_apart(tmp_path: Path, source: str, trains: bool) -> None:
    path = tmp_path / "file.py"
    path.write_text(source)
    assert read(path).trains_when_run is trains
