"""FSDP2 takes the steps of one process, and its checkpoints load into any number of processes: real processes, over gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from litify.utilities import consolidate_checkpoint

pytestmark = pytest.mark.slow

# Runs jobs, one fit after another in the same processes; rank 0 writes what there is to compare.
SCRIPT = """
import json, sys
from pathlib import Path
import torch
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from litify import Callback, LightningModule, Trainer
from litify.plugins import MixedPrecision
from litify.strategies import DDPStrategy, FSDPStrategy

OPTIONS = {"ddp_comm_hook": default_hooks.fp16_compress_hook, "gradient_as_bucket_view": True, "bucket_cap_mb": 1}
folder, jobs = Path(sys.argv[1]), json.loads(sys.argv[2])


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 17), nn.Linear(17, 8)

    def forward(self, x):
        return x + self.down(torch.tanh(self.up(self.norm(x))))


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Net(LightningModule):
    '''A body of blocks, a head whose weight is used without calling it, a parameter of the module's own, a tied weight.'''

    def __init__(self):
        super().__init__()
        self.body, self.head, self.tied = Body(), nn.Linear(8, 5), nn.Linear(8, 5)
        self.tied.weight = self.head.weight
        self.scale = nn.Parameter(torch.ones(3))
        self.register_buffer("steps", torch.zeros(1))
        self.losses, self.seen, self.called = [], [], []

    def forward(self, x):
        return F.linear(self.body(x), self.head.weight * self.scale.mean(), self.head.bias) + self.tied(x)

    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.steps += 1
        self.losses.append(self.all_gather(loss.detach()).mean().item())
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]), sync_dist=True)
        self.log("seen", float(len(batch[0])), reduce_fx="sum", sync_dist=True)

    def on_validation_epoch_end(self):
        self.called.append(self.body(torch.ones(1, 8)).sum().item())  # outside of a step

    def on_validation_end(self):
        if not self.trainer.sanity_checking:
            self.seen.append([self.trainer.callback_metrics[name].item() for name in ("val_loss", "seen")])

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.02)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


class Gan(LightningModule):
    '''Two networks in turn; each step uses one of them, or one through the other.'''

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.ModuleList([nn.Linear(8, 9), nn.Linear(9, 8)])
        self.judge = nn.Sequential(nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 1))
        self.never_used = nn.Linear(2, 2)
        self.losses, self.seen, self.called = [], [], []

    def fake(self, x):
        return self.generator[1](torch.tanh(self.generator[0](x)))

    def training_step(self, batch, batch_idx):
        real, opt_g, opt_d = batch[0], *self.optimizers()
        self.toggle_optimizer(opt_d)
        opt_d.zero_grad()
        self.manual_backward(F.softplus(-self.judge(real)).mean())
        fake_loss = F.softplus(self.judge(self.fake(real).detach())).mean()
        self.manual_backward(fake_loss)
        self.clip_gradients(opt_d, 0.1, "norm")
        opt_d.step()
        self.untoggle_optimizer(opt_d)
        self.toggle_optimizer(opt_g)
        opt_g.zero_grad()
        loss = F.softplus(-self.judge(self.fake(real))).mean()
        self.manual_backward(loss)
        opt_g.step()
        self.untoggle_optimizer(opt_g)
        self.losses.append(self.all_gather(torch.stack([fake_loss, loss]).detach()).view(-1, 2).mean(0).tolist())

    def configure_optimizers(self):
        return torch.optim.Adam(self.generator.parameters(), 1e-2), torch.optim.SGD(self.judge.parameters(), 0.1)


class Save(Callback):
    '''Saves at the end of an epoch, and goes on.'''

    def __init__(self, epoch, name):
        self.epoch, self.name = epoch, name

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            trainer.save_checkpoint(folder / self.name)


class Stream(IterableDataset):
    '''This process's part of 5 batches; nobody knows how many there are.'''

    def __init__(self, x, y, rank, size):
        self.parts = [(x[at + rank * size :][:size], y[at + rank * size :][:size]) for at in range(0, 5 * 6, 6)]

    def __iter__(self):
        return iter(self.parts)


def whole(weights):
    return {name: value.full_tensor() if hasattr(value, "full_tensor") else value for name, value in weights.items()}


def run(name, kind="net", fsdp=None, save=None, ckpt_path=None, stream=False, **options):
    rng = torch.Generator().manual_seed(7)
    x, y = torch.randn(32, 8, generator=rng), torch.randint(0, 5, (32,), generator=rng)
    x_val, y_val = torch.randn(21, 8, generator=rng), torch.randint(0, 5, (21,), generator=rng)
    if fsdp is not None and "auto_wrap_policy" in fsdp:
        fsdp["auto_wrap_policy"] = {Block}
    strategy = DDPStrategy(**OPTIONS) if options.pop("ddp", False) else "auto"
    strategy = strategy if fsdp is None else FSDPStrategy(**{"min_num_params": 100, **fsdp})
    if options.pop("half", False):
        scaler = torch.amp.GradScaler("cpu", init_scale=64.0)  # one at which nothing overflows
        options["plugins"] = [MixedPrecision("16-mixed", "cpu", scaler)]
    if kind == "net":
        options = {"accumulate_grad_batches": 3, "gradient_clip_val": 0.4, **options}
    trainer = Trainer(
        max_epochs=3, accelerator="cpu", strategy=strategy, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[Save(*save)] if save else [], **options,
    )
    # Weights are rank 0's, whatever the others have.
    torch.manual_seed(trainer.global_rank)
    model = Net() if kind == "net" else Gan()
    loader = DataLoader(TensorDataset(x, y), 8 // trainer.world_size)
    val = DataLoader(TensorDataset(x_val, y_val), 4)
    if stream:
        loader = DataLoader(Stream(x, y, trainer.global_rank, 6 // trainer.world_size), batch_size=None)
    trainer.fit(model, loader, val if kind == "net" else None, ckpt_path=ckpt_path and folder / ckpt_path)
    kinds = [type(each).__name__ for each in (next(model.parameters()), *model.children())]
    if kind == "net":
        trainer.validate(model, val, verbose=False)
    result = {"world": trainer.world_size, "losses": model.losses, "seen": model.seen, "kinds": kinds, "called": model.called}
    result["weights"] = whole(model.state_dict())
    if trainer.is_global_zero:
        torch.save(result, folder / f"{name}.pt")


if __name__ == "__main__":
    for job in jobs:
        run(**job)
"""


def launch(folder: Path, world: int, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the jobs, one after another, in `world` processes under `litify run`; what rank 0 wrote for each."""
    script = folder / "train.py"
    script.write_text(SCRIPT)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LITIFY_", "PET_"))}
    command = [
        sys.executable,
        "-m",
        "litify",
        "run",
        str(script),
        "--devices",
        str(world),
        "--accelerator",
        "cpu",
    ]
    result = subprocess.run(
        [*command, "--", str(folder), json.dumps(jobs)],
        capture_output=True,
        text=True,
        env={**clean, "OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    assert result.returncode == 0, result.stderr
    return [torch.load(folder / f"{job['name']}.pt") for job in jobs]


def differences(one: dict[str, Any], other: dict[str, Any]) -> tuple[float, float]:
    """Largest differences of losses, as far as both have them, and of weights."""
    steps = min(len(one["losses"]), len(other["losses"]))
    losses = (
        (torch.tensor(one["losses"][-steps:]) - torch.tensor(other["losses"][-steps:])).abs().max().item()
    )
    assert one["weights"].keys() == other["weights"].keys()
    weights = max(
        (one["weights"][name] - other["weights"][name]).abs().max().item() for name in one["weights"]
    )
    return losses, weights


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    losses, weights = differences(one, other)
    assert losses < 1e-6
    assert weights < 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fsdp")


@pytest.fixture(scope="module")
def one(folder: Path) -> list[dict[str, Any]]:
    """One process: the trainings that the others are compared with, and checkpoints of epoch 0."""
    return launch(
        folder,
        1,
        {"name": "net1", "save": [0, "plain.ckpt"]},
        {"name": "gan1", "kind": "gan"},
        {"name": "half1", "half": True},
        {"name": "stream1", "stream": True},
        {"name": "fsdp1", "fsdp": {"state_dict_type": "sharded"}, "save": [0, "one.ckpt"]},
    )


@pytest.fixture(scope="module")
def four(folder: Path) -> list[dict[str, Any]]:
    options = {
        "activation_checkpointing_policy": True,
        "auto_wrap_policy": "blocks",
        "reshard_after_forward": False,
    }
    return launch(
        folder,
        4,
        {"name": "net4", "fsdp": {}, "save": [0, "four_full.ckpt"]},
        {"name": "gan4", "kind": "gan", "fsdp": {}},
        {"name": "sharded4", "fsdp": {"state_dict_type": "sharded", **options}, "save": [0, "four.ckpt"]},
    )


@pytest.fixture(scope="module")
def two(folder: Path, one: Any, four: Any) -> list[dict[str, Any]]:
    return launch(
        folder,
        2,
        {
            "name": "net2",
            "fsdp": {"sharding_strategy": "HYBRID_SHARD", "device_mesh": [2, 1], "cpu_offload": True},
        },
        {"name": "gan2", "kind": "gan", "fsdp": {}},
        {"name": "half2", "fsdp": {}, "half": True},
        {"name": "stream2", "fsdp": {}, "stream": True},
        {"name": "stream_ddp", "stream": True},
        {"name": "ddp2", "ddp": True},
        {"name": "from_full4", "fsdp": {}, "ckpt_path": "four_full.ckpt"},
        {
            "name": "from_4",
            "fsdp": {"state_dict_type": "sharded"},
            "ckpt_path": "four.ckpt",
            "save": [1, "two.ckpt"],
        },
        {
            "name": "from_1",
            "fsdp": {"state_dict_type": "sharded"},
            "ckpt_path": "one.ckpt",
            "save": [1, "two_b.ckpt"],
        },
        {"name": "from_plain", "fsdp": {}, "ckpt_path": "plain.ckpt", "save": [1, "two_full.ckpt"]},
    )


@pytest.fixture(scope="module")
def again(folder: Path, two: Any) -> list[dict[str, Any]]:
    return launch(
        folder,
        1,
        {"name": "from_2", "fsdp": {}, "ckpt_path": "two.ckpt"},
        {"name": "plain_from_2", "ckpt_path": "two_b.ckpt"},
        {"name": "plain_from_full2", "ckpt_path": "two_full.ckpt"},
    )


def test_processes_that_share_the_weights_take_the_steps_of_one(one: Any, two: Any, four: Any) -> None:
    """DESIGN 4: with accumulation in uneven windows, clipping, uneven validation; with tied weights and ones of the module's own."""
    net1, fsdp1 = one[0], one[4]
    assert len(net1["losses"]) == 12
    for other in (fsdp1, two[0], four[0], four[2]):
        assert_same(net1, other)
        assert [seen for _, seen in other["seen"]] == [
            21.0
        ] * 4, "each sample once, though ranks have 2 batches and 1"
        assert torch.tensor(other["seen"]) == pytest.approx(torch.tensor(net1["seen"]), abs=1e-6)
        assert other["called"] == pytest.approx(net1["called"], abs=1e-5)


def test_manual_optimization(one: Any, two: Any, four: Any) -> None:
    """A GAN: two optimizers, several backward passes a step, toggled parameters, a layer that nothing uses."""
    assert_same(one[1], two[1])
    assert_same(one[1], four[1])


def test_loss_scale(one: Any, two: Any) -> None:
    """float16 differs in its last places, but the scale is found by all processes together, and no step is lost."""
    losses, weights = differences(one[2], two[2])
    assert losses < 2e-2
    assert weights < 2e-2


def test_a_stream_that_ends_within_a_window(one: Any, two: Any) -> None:
    """5 batches by 3, and nobody knows that the fifth is the last: its step is taken with common gradients, by DDP too."""
    assert len(one[3]["losses"]) == 15
    assert_same(one[3], two[3])
    assert_same(one[3], two[4])


def test_ddp_sends_gradients_in_sixteen_bit(one: Any, two: Any) -> None:
    losses, weights = differences(one[0], two[5])
    assert 0 < losses < 1e-2, "it was sent in float16, which has 11 bits"
    assert weights < 1e-2


def test_the_module_is_whole_after_fit_and_of_its_own_classes(one: Any, four: Any) -> None:
    assert four[0]["kinds"] == one[0]["kinds"] == ["Parameter", "Body", "Linear", "Linear"]
    assert four[2]["kinds"][0] == "DTensor", "state_dict_type='sharded': too large to be whole anywhere"


def test_checkpoints_go_on_in_fewer_and_more_processes(one: Any, two: Any, again: Any) -> None:
    """4 -> 2 -> 1 and 1 -> 2 -> 1, whole and in shards, with optimizers, schedulers and the place in training."""
    for resumed in (*two[6:], *again):
        assert 0 < len(resumed["losses"]) < 12
        assert_same(one[0], resumed)


def same_checkpoint(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name in ("state_dict", "optimizer_states"):
        mine, other = _flat(ours[name]), _flat(theirs[name])
        assert mine.keys() == other.keys()
        for key, value in other.items():
            assert type(mine[key]) is type(value), key
            if isinstance(value, torch.Tensor):
                assert mine[key].shape == value.shape
                assert torch.allclose(mine[key], value, atol=1e-6), key
            else:
                assert mine[key] == value


def _flat(tree: Any, key: str = "") -> dict[str, Any]:
    if isinstance(tree, (dict, list, tuple)):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {name: leaf for at, value in items for name, leaf in _flat(value, f"{key}.{at}").items()}
    return {key: tree}


def test_a_full_checkpoint_is_the_file_that_one_process_writes(folder: Path, one: Any, four: Any) -> None:
    plain = torch.load(folder / "plain.ckpt", weights_only=True)
    full = torch.load(folder / "four_full.ckpt", weights_only=True)
    same_checkpoint(full, plain)
    for key, value in _flat([full["state_dict"], full["optimizer_states"]]).items():
        if isinstance(value, torch.Tensor):
            assert value.untyped_storage().nbytes() == value.nbytes, f"{key} drags something along"


def test_a_folder_of_shards_becomes_a_file(
    folder: Path, one: Any, four: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {path.name for path in (folder / "four.ckpt").iterdir()}
    assert names == {".metadata", "meta.pt", *(f"__{rank}_0.distcp" for rank in range(4))}
    file = folder / "consolidated.ckpt"
    arguments = [str(folder / "four.ckpt"), "--output-file", str(file)]
    assert (consolidate_checkpoint.main(arguments), capsys.readouterr().out) == (0, f"{file}\n")
    same_checkpoint(torch.load(file, weights_only=True), torch.load(folder / "plain.ckpt", weights_only=True))
    assert consolidate_checkpoint.main(arguments) == 2, "never over a file"
    assert not list(folder.glob(".*")), "nothing is left beside"
