"""`litify verify` from the command line: verdicts, exit codes, and that it leaves no trace but its verdict."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

TRAIN = """
import sys
import torch
from torch import nn
torch.manual_seed(1)
x = torch.randn(32, 4)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for epoch in range(3):
    for batch in torch.utils.data.DataLoader(x, batch_size=16, shuffle=True):
        optimizer.zero_grad()
        loss = (net(batch) - batch.sum(1, keepdim=True)).square().mean()
        loss.backward()
        optimizer.step()
torch.save(net.state_dict(), "net.pt")
open("log.txt", "a").write(repr(sys.argv))
"""
SLEEPS = """
import subprocess, sys, time, torch
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and a temporary folder of its own beside it."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)  # read TMPDIR again
    return tmp_path


def verify(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "litify", "verify", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def write(**sources: str) -> None:
    for name, source in sources.items():
        Path(f"{name}.py").write_text(source)


def test_a_copy_is_identical_and_the_users_files_are_as_before(folder: Path) -> None:
    write(train=TRAIN, same=TRAIN)
    Path("net.pt").write_text("the user's own")
    done = verify("train.py", "same.py", "--", "--epochs", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"train\.py +6 steps +1 optimizer \(Adam\) +\d+\.\d s", lines[0])
    assert lines[2:] == ["identical: 6 optimizer steps, final weights too"]
    assert Path("net.pt").read_text() == "the user's own"
    assert sorted(os.listdir()) == ["net.pt", "same.py", "train.py"]
    assert not list((folder / "tmp").glob("litify*"))


def test_another_learning_rate_diverges_at_step_0() -> None:
    write(train=TRAIN, other=TRAIN.replace("lr=0.01", "lr=0.02"))
    done = verify("train.py", "other.py", "--report", "json")
    assert done.returncode == 1, done.stderr
    verdict = json.loads(done.stdout)
    first = verdict["first"]
    assert (verdict["kind"], first["step"], first["field"], first["raw"], first["lit"]) == (
        "diverged",
        0,
        "lr",
        0.01,
        0.02,
    )
    line = TRAIN.splitlines().index("        optimizer.step()") + 1
    assert (first["raw_line"], first["lit_line"]) == (f"train.py:{line}", f"other.py:{line}")


@pytest.mark.slow
def test_another_order_of_construction_is_identical_with_keyed_random_numbers() -> None:
    data = "x = torch.randn(32, 4)\n"
    reordered = (
        TRAIN.replace(data, "").replace("optimizer =", data + "optimizer =").replace("seed(1)", "seed(2)")
    )
    write(train=TRAIN, other=reordered)
    done = verify("train.py", "other.py")
    assert done.returncode == 0, done.stderr
    assert (
        "identical (same first weights and batches; the scripts draw random numbers in another order): 6"
        in done.stdout
    )
    assert "note: the scripts seed torch differently (train.py with 1; other.py with 2)" in done.stdout


@pytest.mark.slow
def test_another_loss_diverges_where_it_starts_and_rounding_is_close() -> None:
    later = TRAIN.replace(
        "loss.backward()", "loss = loss * (1 + (epoch == 2) * 1e-6)\n        loss.backward()"
    )
    write(train=TRAIN, other=later)
    done = verify("train.py", "other.py")
    assert done.returncode == 1, done.stderr
    assert "diverged at step 4 in loss: " in done.stdout
    done = verify("train.py", "other.py", "--tolerance", "1e-4")  # accepted at once: no keyed run
    assert done.returncode == 0, done.stderr
    assert re.search(r"\nclose: 6 optimizer steps, .*; largest relative difference \d\.\de-0\d ", done.stdout)


EVALUATES = TRAIN.replace(
    "torch.save(",
    """    net.eval()
    with torch.no_grad():
        print("epoch", epoch, "loss", float((net(x) - x.sum(1, keepdim=True)).square().mean()))
    net.train()
torch.save(""",
)


def test_evaluation_and_what_is_printed_of_it_are_compared(tmp_path: Path) -> None:
    write(train=EVALUATES, other=EVALUATES.replace("net(x) - x", "net(x / 2) - x"))
    done = verify("train.py", "train.py", "--steps", "6")
    assert done.stdout.splitlines()[-1] == (
        "identical: the first 6 optimizer steps; 2 evaluation passes and 2 printed lines"
    )
    done = verify("train.py", "other.py", "--report", "json")
    assert done.returncode == 1, done.stderr
    first = json.loads(done.stdout)["first"]
    line = next(number for number, text in enumerate(EVALUATES.split("\n"), 1) if "print" in text)
    assert (first["field"], first["step"], first["raw_line"]) == ("evaluation", 2, f"train.py:{line}")


def test_another_metric_of_the_same_evaluation_diverges() -> None:
    """The steps and the network's outputs agree; only the arithmetic on them does not."""
    write(train=EVALUATES, other=EVALUATES.replace("square().mean()))", "abs().mean()))"))
    done = verify("train.py", "other.py")
    assert done.returncode == 1, done.stderr
    assert re.search(
        r"diverged in a printed line after 2 steps: epoch 0 loss \d\.\d+ in train\.py:\d+, epoch 0 loss ",
        done.stdout,
    )


@pytest.mark.slow
def test_numbers_that_no_run_repeats_are_not_compared() -> None:
    source = TRAIN + "import os, time\nprint('process', os.getpid(), 'took', time.time(), 'steps', 6)\n"
    write(train=source)
    done = verify("train.py", "train.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "identical: 6 optimizer steps, final weights too; 1 printed line"


DATA = """
import torch
from torchvision import datasets
data = datasets.MNIST("data", train=True, download=True, transform=lambda image: image.float() / 255)
net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for image, label in torch.utils.data.DataLoader(data, batch_size=16, shuffle=True):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(net(image), label).backward()
    optimizer.step()
"""
# as much of the real one as this needs, failing as it does without a network
TORCHVISION = """
import sys, torch
__path__ = []
class VisionDataset(torch.utils.data.Dataset):
    def __init__(self, root, transforms=None, transform=None, target_transform=None):
        self.transform = transform
class DatasetFolder(VisionDataset): pass
class MNIST(VisionDataset):
    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")
    def __getitem__(self, index):
        return self.transform(self.data[index]), int(self.targets[index])
    def __len__(self):
        return len(self.data)
"""


def test_missing_data_is_said_and_synthetic_data_stands_in_for_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(train=DATA)
    package = folder / "site" / "torchvision" / "datasets"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text(TORCHVISION)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(folder / "site"), os.environ.get("PYTHONPATH", "")])
    )
    done = verify("train.py", "train.py")
    assert done.returncode == 2
    assert (
        "train.py: its data is missing here: RuntimeError: Error downloading train-images-idx3-ubyte.gz (train.py:4); "
        "put it where the script looks for it, or let --synthetic stand in for torchvision.datasets.MNIST"
    ) in done.stderr
    done = verify("train.py", "train.py", "--synthetic", "--items", "40")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        "identical: 3 optimizer steps, final weights too",
        "note: synthetic data: MNIST (train, 40 of 60000 items)",
    ]


def test_what_synthetic_data_cannot_stand_in_for_is_said() -> None:
    write(train="open('data.csv')\n", fine=TRAIN)
    done = verify("train.py", "train.py", "--synthetic")
    assert done.returncode == 2
    assert "--synthetic has no stand-in for files that a script reads by itself" in done.stderr
    done = verify("fine.py", "fine.py", "--synthetic", "--steps", "1")
    assert done.returncode == 0
    assert "note: --synthetic replaced nothing" in done.stdout


def test_loss_curves_are_drawn() -> None:
    pytest.importorskip("matplotlib")
    write(train=TRAIN)
    assert verify("train.py", "train.py", "--steps", "4", "--plot", "out.png").returncode == 0
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")
    assert "ends in .png" in verify("train.py", "train.py", "--plot", "out.doc").stderr


def test_plots_without_matplotlib_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from litify_converter.verify import CannotVerify
    from litify_converter.verify.plot import check_plot

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CannotVerify, match=r"^--plot draws with matplotlib: pip install matplotlib$"):
        check_plot(Path("out.png"))


def test_only_the_first_steps_and_too_few_steps() -> None:
    write(train=TRAIN, short=TRAIN.replace("range(3)", "range(1)"))
    done = verify("train.py", "short.py", "--steps", "2")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "identical: the first 2 optimizer steps")
    done = verify("train.py", "short.py", "--steps", "4")
    assert done.returncode == 1
    assert "diverged at step 2 in steps: 4 in train.py, 2 in short.py" in done.stdout


def test_a_script_that_crashes_is_named_with_its_error_and_its_log() -> None:
    write(train=TRAIN, broken=TRAIN + "print('so far')\n1 / 0\n")
    done = verify("train.py", "broken.py")
    line = len(TRAIN.splitlines()) + 2
    assert (done.returncode, done.stdout) == (2, "")
    message = done.stderr.splitlines()[-1]
    found = re.fullmatch(
        rf".*error: broken\.py: cannot be run: ZeroDivisionError: .* \(broken\.py:{line}\); --steps 6 compares the steps before it; full log: (.*)",
        message,
    )
    assert found, done.stderr
    log = Path(found[1]).read_text()
    assert log.startswith("so far\nTraceback") and "litify_converter" not in log


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import sys\nsys.exit('give me --data')\n", "train.py cannot be run: give me --data; full log: "),
        ("open('../data/train.csv')\n", "train.py: its data is missing here: FileNotFoundError: "),
        ("print('hello')\n", "train.py took no optimizer step: there is nothing to compare"),
    ],
)
def test_why_there_is_no_verdict(source: str, message: str) -> None:
    write(train=source, lit=source)
    done = verify("train.py", "lit.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train.py"], "Missing argument 'LIT'"),
        (["train.py", "no.py"], "no.py does not exist"),
        (["train.py", "."], ". is a folder"),
        (["train.py", "train.py", "--steps", "0"], "--steps"),
        (["train.py", "train.py", "--lr"], "No such option"),
        (["train.py", "train.py", "--keep", "."], ". is not empty"),
        (["train.py", "train.py", "--items", "5"], "add --synthetic"),
    ],
)
def test_wrong_use_is_one_line(args: list[str], message: str) -> None:
    write(train=TRAIN)
    done = verify(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from litify_converter.verify import CannotVerify
    from litify_converter.verify import verify as verify_pair

    write(train=TRAIN)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CannotVerify, match=r'pip install "litify\[run\]"'):
        verify_pair("train.py", "train.py")


def test_kept_folder_has_copies_traces_and_logs() -> None:
    write(train=TRAIN)
    assert verify("train.py", "train.py", "--keep", "kept").returncode == 0
    for side in ("raw", "lit"):
        assert list(Path("kept", side, "tree").rglob("net.pt"))
        assert len(list(Path("kept", side, "steps").glob("main-*.jsonl"))) == 1
        assert Path("kept", side, "log.txt").read_text() == ""


def test_time_limit_ends_every_process() -> None:
    write(train=SLEEPS)
    done = verify("train.py", "train.py", "--timeout", "6")
    assert done.returncode == 2
    assert (
        "train.py was not done after 6 s (0 steps); give a longer --timeout or fewer --steps" in done.stderr
    )
    assert "running train.py\n" in done.stderr
    assert processes_of(os.getcwd()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_ends_every_process(folder: Path, number: signal.Signals, code: int) -> None:
    write(train=SLEEPS)
    command = [sys.executable, "-m", "litify", "verify", "train.py", "train.py"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 60
    while len(processes_of(str(folder / "tmp"))) < 2 and time.monotonic() < limit:
        time.sleep(0.2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert processes_of(str(folder / "tmp")) == []
    assert not list((folder / "tmp").glob("litify*"))


def test_progress_counts_on_one_line_of_a_terminal_and_leaves_it_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from litify.commands.verify import _Progress

    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with _Progress() as progress:
        progress.update("train.py", 3)  # nothing in the first second
        now = 2.0
        progress.update("train.py", 312)
        progress.update("train.py", 7)
    line = "running train.py: 312 steps"
    shorter = "running train.py: 7 steps"
    assert capsys.readouterr().err == f"\r{line}\r{shorter}  \r{' ' * len(shorter)}\r"


def processes_of(folder: str) -> list[int]:
    """Processes whose working folder lies below (Linux)."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if os.readlink(link).startswith(folder + os.sep):
                found.append(int(link.parent.name))
        except OSError:
            continue
    return found
