"""What `litify convert` answers: outputs, exit codes, one clear line for bad input, nothing lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RAW = """\
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
loader = DataLoader(TensorDataset(torch.randn(8, 3), torch.randn(8, 1)), batch_size=4)
net = nn.Linear(3, 1)
optimizer = optim.SGD(net.parameters(), lr=0.1)
for epoch in range(2):
    for x, y in loader:
        optimizer.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
"""


def litify(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "litify", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(RAW)
    return tmp_path


def test_writes_beside_the_input(folder: Path) -> None:
    done = litify("convert", "train.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    text = (folder / "train_lit.py").read_text()
    assert "class LitTrain" not in text or "LightningModule" in text
    assert "Trainer(max_epochs=2" in text
    assert done.stdout.startswith("train.py -> train_lit.py")
    assert (folder / "train.py").read_text() == RAW


def test_standard_output_diff_and_check_write_nothing(folder: Path) -> None:
    out = litify("convert", "train.py", "-o", "-", cwd=folder)
    assert out.returncode == 0 and "def training_step(self, batch, batch_idx):" in out.stdout
    diff = litify("convert", "train.py", "--diff", cwd=folder)
    assert (
        diff.returncode == 0
        and "+    def training_step" in diff.stdout
        and "-        loss.backward()" in diff.stdout
    )
    assert "\x1b" not in diff.stdout  # no colours where there is no terminal
    assert litify("convert", "train.py", "--check", cwd=folder).returncode == 1
    assert sorted(os.listdir(folder)) == ["train.py"]


def test_check_passes_what_needs_no_conversion(folder: Path) -> None:
    litify("convert", "train.py", cwd=folder)
    done = litify("convert", "train_lit.py", "--check", cwd=folder)
    assert done.returncode == 0
    assert "nothing to convert" in done.stderr


def test_in_place(folder: Path) -> None:
    assert litify("convert", "train.py", "--in-place", cwd=folder).returncode == 0
    assert "LightningModule" in (folder / "train.py").read_text()
    assert sorted(os.listdir(folder)) == ["train.py"]


def test_line_ends_stay_and_the_encoding_is_utf8(folder: Path) -> None:
    text = "# -*- coding: latin-1 -*-\n" + RAW.replace(
        "import torch\n", 'import torch\n\nplace = "caf\u00e9"\n', 1
    )
    (folder / "windows.py").write_bytes((text + "print(place)\n").encode("latin-1").replace(b"\n", b"\r\n"))
    assert litify("convert", "windows.py", cwd=folder).returncode == 0
    data = (folder / "windows_lit.py").read_bytes()
    assert data.count(b"\n") == data.count(b"\r\n") > 10
    assert 'place = "caf\u00e9"' in data.decode() and b"latin-1" not in data


def test_never_overwrites_what_it_did_not_write(folder: Path) -> None:
    mine = folder / "train_lit.py"
    mine.write_text("# my own work\n")
    done = litify("convert", "train.py", cwd=folder)
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert mine.read_text() == "# my own work\n"
    assert litify("convert", "train.py", "--force", cwd=folder).returncode == 0
    assert litify("convert", "train.py", cwd=folder).returncode == 0  # its own output it may write again


def test_target_lightning(folder: Path) -> None:
    done = litify("convert", "train.py", "--target", "lightning", "-o", "-", cwd=folder)
    assert "from lightning import" in done.stdout


def test_idiomatic_or_refused(folder: Path) -> None:
    done = litify("convert", "train.py", "--style", "idiomatic", cwd=folder)
    assert done.returncode == 0 and "automatic optimization" in done.stdout
    late = RAW.replace(
        "        optimizer.step()\n", "        optimizer.zero_grad()\n        optimizer.step()\n"
    )
    (folder / "late.py").write_text(late)
    done = litify("convert", "late.py", "--style", "idiomatic", cwd=folder)
    assert done.returncode == 1 and not (folder / "late_lit.py").exists()
    assert (
        "late.py:14: LC208 not idiomatic: zero_grad() stands between backward() and step(), or more than once"
        in done.stderr
    )
    two = RAW.replace("for epoch", "other = optim.SGD(net.parameters(), lr=0.2)\nfor epoch").replace(
        "        optimizer.step()\n", "        optimizer.step()\n        other.step()\n"
    )
    (folder / "two.py").write_text(two)
    assert litify("convert", "two.py", "--style", "idiomatic", cwd=folder).returncode == 0


def test_json_report(folder: Path) -> None:
    report = json.loads(litify("convert", "train.py", "--report", "json", cwd=folder).stdout)
    assert report["converted"] is True
    assert report["optimization"] == "automatic"
    assert "automatic-optimization" in report["idioms"]


def test_refusal_names_place_reason_and_advice(folder: Path) -> None:
    (folder / "predict.py").write_text("import torch\nprint(torch.ones(2))\n")
    done = litify("convert", "predict.py", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.startswith("predict.py: LC101 ")
    assert len(done.stderr.splitlines()) == 2
    as_json = json.loads(litify("convert", "predict.py", "--report", "json", cwd=folder).stdout)
    assert as_json["refusal"]["code"] == "LC101"
    assert not (folder / "predict_lit.py").exists()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "empty"),
        (b"def f(:\n    pass\n", "syntax error"),
        (b"print 'hello'\n", "Python 2"),
        (b"\x00\x01\x02\xff\xfe", "not a text file"),
        (b"# coding: utf-8\nx = '\xff'\n", "decode"),
        (b"# coding: no-such-code\n", "decode"),
    ],
)
def test_unreadable_input_is_one_line_and_exit_2(folder: Path, content: bytes, part: str) -> None:
    (folder / "bad.py").write_bytes(content)
    done = litify("convert", "bad.py", cwd=folder)
    assert done.returncode == 2
    assert part in done.stderr and "bad.py" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (folder / "bad_lit.py").exists()


def test_missing_file_and_unknown_flag(folder: Path) -> None:
    for arguments in (["nope.py"], ["train.py", "--no-such-flag"]):
        done = litify("convert", *arguments, cwd=folder)
        assert done.returncode == 2, arguments
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Traceback" not in done.stderr
    assert sorted(os.listdir(folder)) == ["train.py"]


@pytest.mark.parametrize("out", ["no/such/folder/out.py", "/proc/out.py", "."])
def test_output_that_cannot_be_written(folder: Path, out: str) -> None:
    done = litify("convert", "train.py", "-o", out, cwd=folder)
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(os.listdir(folder)) == ["train.py"]


def test_nothing_of_the_script_runs(folder: Path) -> None:
    """Safe: the script is read, never imported or executed."""
    (folder / "train.py").write_text(RAW + "\nopen('ran', 'w').close()\nraise SystemExit('ran')\n")
    assert litify("convert", "train.py", cwd=folder).returncode == 0
    assert not (folder / "ran").exists()


def test_needs_no_torch(folder: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from litify.cli import main; sys.argv[1:] = ['convert', 'train.py']; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_folder_is_converted_script_by_script(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "again.py").write_text(RAW)
    (folder / "model.py").write_text("import torch\n")  # does not train
    (folder / "bad.py").write_text(RAW.replace("range(2)", "epochs_of(2)"))
    (folder / "broken.py").write_text("import torch\nfor (\n")
    done = litify("convert", ".", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert (folder / "train_lit.py").is_file() and (folder / "sub" / "again_lit.py").is_file()
    assert not (folder / "bad_lit.py").exists()
    *table, summary = done.stdout.splitlines()
    assert [line.split()[:3] for line in table] == [
        ["bad.py", "refused", "hours"],
        ["broken.py", "unreadable", "hours"],
        [str(Path("sub") / "again.py"), "converted", "minutes"],
        ["train.py", "converted", "minutes"],
    ]
    assert summary == "5 files with torch, 4 that train: 2 converted, 1 refused, 1 unreadable"
    again = litify("convert", "sub", "--check", "--report", "json", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert [(o["file"], o["status"], o["effort"]) for o in json.loads(again.stdout)] == [
        (str(Path("sub") / "again.py"), "converted", "minutes")
    ]


def test_a_folder_takes_no_single_output(folder: Path) -> None:
    done = litify("convert", ".", "-o", "x.py", cwd=folder)
    assert done.returncode == 2 and "is a folder" in done.stderr


def test_refusals_as_sarif(folder: Path) -> None:
    (folder / "bad.py").write_text(RAW.replace("range(2)", "epochs_of(2)"))
    done = litify("convert", ".", "--check", "--report", "sarif", cwd=folder)
    result = json.loads(done.stdout)["runs"][0]["results"][0]
    assert result["ruleId"] == "LC203" and result["level"] == "error"
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "bad.py"}, "region": {"startLine": 9}}


def test_the_report_names_the_module_of_each_loop(folder: Path) -> None:
    again = RAW[RAW.index("for epoch") :].replace("net(x)", "student(x)")
    setup = "student = nn.Linear(3, 1)\noptimizer = optim.Adam(student.parameters())\n"
    (folder / "two.py").write_text(RAW + setup + again)
    done = litify("convert", "two.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "  LitNet: automatic optimization" in done.stdout
    assert "  LitStudent: automatic optimization" in done.stdout


def test_a_folder_with_a_broken_file_fails(folder: Path) -> None:
    (folder / "broken.py").write_text("import torch\nfor (\n")
    done = litify("convert", ".", "--check", cwd=folder)
    assert done.returncode == 1 and "LC001:2" in done.stdout and "Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_written_into_and_not_replaced(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    reader = subprocess.Popen(["cat", "pipe"], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert litify("convert", "train.py", "-o", "pipe", cwd=folder).returncode == 0
    assert "LightningModule" in reader.communicate(timeout=30)[0]
    assert (folder / "pipe").is_fifo()
