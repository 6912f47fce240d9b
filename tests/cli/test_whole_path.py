"""The whole path on the digits fixture: convert, verify, lint, and train anywhere, in real processes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

RAW = Path(__file__).parents[2] / "fixtures" / "digits" / "train.py"
XLA = os.environ.get("LITIFY_XLA_PYTHON", "")
pytestmark = pytest.mark.slow


def run(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done


def litify(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "litify", *arguments, cwd=cwd, **env)


def accuracies(text: str) -> list[float]:
    return [float(x) for x in re.findall(r"Accuracy: \d+/\d+ \((\d+\.\d)%\)", text)]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    (folder / "train.py").write_text(RAW.read_text())
    litify("convert", "train.py", cwd=folder)
    return folder


def test_it_takes_the_same_steps(converted: Path) -> None:
    """Promise 1, proven by running both."""
    done = litify("verify", "train.py", "train_lit.py", "--", "--epochs", "2", cwd=converted)
    assert "identical: 94 optimizer steps, final weights too" in done.stdout


def test_it_reaches_the_raw_accuracy_and_draws_its_curves(converted: Path, tmp_path: Path) -> None:
    raw = run(sys.executable, str(RAW), "--epochs", "3", cwd=tmp_path)
    arguments = ["run", str(converted / "train_lit.py"), "--accelerator", "cpu", "--log-every-n-steps", "5"]
    ours = litify(*arguments, "--", "--epochs", "3", "--save-model", cwd=tmp_path)
    assert accuracies(ours.stdout) == accuracies(raw.stdout)
    assert accuracies(ours.stdout)[-1] >= 95
    assert (tmp_path / "digits_cnn.pt").exists()

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = EventAccumulator(str(tmp_path / "lightning_logs" / "version_0"))
    curves.Reload()
    scalars = {tag: curves.Scalars(tag) for tag in curves.Tags()["scalars"]}
    assert len(scalars["train_loss"]) == 3 * 47 // 5
    assert [round(100 * e.value, 1) for e in scalars["accuracy"]] == accuracies(ours.stdout)
    assert len(scalars["test_loss"]) == 3
    checkpoints = list((tmp_path / "lightning_logs" / "version_0" / "checkpoints").glob("*.ckpt"))
    assert [c.name for c in checkpoints] == ["epoch=2-step=141.ckpt"]


def test_the_same_file_trains_under_lightning(converted: Path, tmp_path: Path) -> None:
    """Promise 5: no lock-in."""
    litify("convert", "train.py", "--target", "lightning", "-o", str(tmp_path / "train_pl.py"), cwd=converted)
    theirs = run(sys.executable, "train_pl.py", "--epochs", "2", "--no-cuda", cwd=tmp_path)
    raw = run(sys.executable, str(RAW), "--epochs", "2", "--no-cuda", cwd=tmp_path)
    assert accuracies(theirs.stdout) == accuracies(raw.stdout)


def test_two_processes(converted: Path, tmp_path: Path) -> None:
    """Promise 4: flags, never edits. Each test image is counted once."""
    script = str(converted / "train_lit.py")
    done = litify(
        "run", script, "--devices", "2", "--accelerator", "cpu", "--", "--epochs", "3", cwd=tmp_path
    )
    assert (
        len(re.findall(r"Accuracy: \d+/300 ", done.stdout)) == 3
    )  # one process prints, the sums are of both
    assert accuracies(done.stdout)[-1] >= 90


@pytest.mark.xla
@pytest.mark.skipif(not XLA, reason="LITIFY_XLA_PYTHON names no environment with torch_xla")
def test_four_tpu_cores(converted: Path, tmp_path: Path) -> None:
    """The same file by SPMD over four devices of torch_xla."""
    script = str(converted / "train_lit.py")
    command = [XLA, "-m", "litify", "run", script, "--tpu-cores", "4", "--", "--epochs", "2"]
    done = run(*command, cwd=tmp_path, PJRT_DEVICE="CPU", CPU_NUM_DEVICES="4")
    assert accuracies(done.stdout)[-1] >= 85
