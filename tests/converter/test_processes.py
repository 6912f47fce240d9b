"""Promise 1 for scripts that start processes: the conversion takes the steps that the original takes as one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from litify_converter.convert import convert
from litify_converter.verify import verify

FIXTURE = Path(__file__).parents[2] / "fixtures" / "ddp"
JOINED = """
import os

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset


def main():
    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo")
    torch.manual_seed(3)
    data = TensorDataset(torch.randn(24, 4), torch.randn(24, 1))
    sampler = DistributedSampler(data, seed=5)
    loader = DataLoader(data, batch_size=8 // dist.get_world_size(), sampler=sampler)
    net = DistributedDataParallel(torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.Dropout(0.2)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        for x, y in loader:
            optimizer.zero_grad()
            loss = ((net(x) - y) ** 2).mean()
            loss.backward()
            optimizer.step()
        if rank == 0:
            print(epoch, loss.item())
    dist.destroy_process_group()


main()
"""


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.slow
def test_spawned_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixture as it is checked in, its own single process against the Trainer's."""
    monkeypatch.chdir(FIXTURE)
    verdict = verify("train.py", "train_lit.py", ["--epochs", "2", "--world-size", "1"], timeout=200)
    assert verdict.kind == "identical"
    assert verdict.steps == 60


@pytest.mark.slow
def test_script_for_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """verify tells it what torchrun would; the conversion needs nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    Path("train.py").write_text(JOINED)
    Path("train_lit.py").write_text(convert(Path("train.py")).text)
    verdict = verify("train.py", "train_lit.py", timeout=200)
    assert verdict.kind == "identical"
    assert verdict.steps == 9


def test_number_of_processes_in_an_f_string(tmp_path: Path) -> None:
    """Up to Python 3.11 an f-string can't hold the quotes that it stands in itself."""
    size = "int(os.environ['WORLD_SIZE'])"
    said = f'    print(f"{{{size}}} processes", f"""{{{size}}} more""", {size})\n'
    script = tmp_path / "train.py"
    text = JOINED.replace("def main():\n", f"def say():\n{said}    main()\n\n\ndef main():\n")
    script.write_text(text.removesuffix("main()\n") + "say()\n")
    printed = convert(script).text
    assert "{int(os.environ.get('WORLD_SIZE', 1))} processes" in printed
    assert "{int(os.environ.get('WORLD_SIZE', 1))} more" in printed
    assert ' int(os.environ.get("WORLD_SIZE", 1)),\n' in printed
