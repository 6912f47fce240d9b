"""What FSDP is made of: which modules are gathered together, the way back, folders of shards, refusals. One process."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from tests.runtime.models import Classifier, assert_same_weights, loader, quiet
from torch import nn
from torch.distributed.fsdp import CPUOffload, MixedPrecisionPolicy, ShardingStrategy
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.distributed.tensor import DTensor

from litify import LightningModule, Trainer
from litify.callbacks import EMAWeightAveraging, ModelCheckpoint, ModelPruning, StochasticWeightAveraging
from litify.errors import CheckpointError, MisconfigurationException
from litify.plugins import AsyncCheckpointIO, checkpoint_io, sharded_checkpoint
from litify.strategies import FSDPStrategy, StrategyRegistry
from litify.strategies.sharding import matching, owned_alone, repeated_layers
from litify.utilities import consolidate_checkpoint


@pytest.fixture(autouse=True)
def no_group_stays() -> Iterator[None]:
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


def block() -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)


def test_layers_of_lists_are_gathered_one_by_one() -> None:
    encoder = nn.TransformerEncoder(block(), 3)
    body = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), encoder, nn.Linear(8, 3))
    linear = [body[0], body[3]]
    assert list(repeated_layers(body, 20)) == [linear[0], *encoder.layers, linear[1]]
    assert list(repeated_layers(body, 100)) == list(encoder.layers), "what is small is not worth a message"
    assert list(repeated_layers(encoder.layers[0], 1)) == [], "a layer's own parts stay together"
    stages = nn.Sequential(nn.Sequential(block(), block()), nn.Sequential(block(), block()))
    assert list(repeated_layers(stages, 1)) == [
        each for stage in stages for each in stage
    ], "lists are looked into"


def test_policies_of_classes_and_of_torch() -> None:
    encoder = nn.TransformerEncoder(block(), 2)
    kind = nn.TransformerEncoderLayer
    for policy in (kind, {kind}, [kind], ModuleWrapPolicy({kind})):
        assert set(matching(encoder, policy)) == set(encoder.layers)
    both = list(matching(encoder, {kind, nn.Linear}))
    assert both.index(encoder.layers[0].linear1) < both.index(encoder.layers[0]), "inner ones first"


def test_tied_weights_stay_with_what_they_are_tied_to() -> None:
    layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    layers[2].weight = layers[0].weight
    assert owned_alone(layers, list(layers)) == [layers[1]]


class Stateful(Classifier):
    """Weights of its own beside the network's, one tied; a norm with running statistics."""

    def __init__(self, lr: float = 0.1, dropout: float = 0.0) -> None:
        super().__init__(lr, dropout)
        self.net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
        self.scale = nn.Parameter(torch.ones(3))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return nn.functional.cross_entropy(self.net(batch[0]) * self.scale, batch[1])


def fit(
    folder: Path, strategy: Any, epochs: int = 2, ckpt_path: Any = None, **options: Any
) -> tuple[Stateful, Trainer]:
    torch.manual_seed(0)
    model = Stateful()
    trainer = quiet(folder, strategy=strategy, max_epochs=epochs, **options)
    trainer.fit(model, loader(), ckpt_path=ckpt_path)
    return model, trainer


def test_one_process_trains_as_without_and_the_module_comes_back_as_it_was(tmp_path: Path) -> None:
    plain, _ = fit(tmp_path, "auto")
    before = {name: type(each) for name, each in Stateful().named_modules()}
    model, _ = fit(tmp_path, FSDPStrategy(min_num_params=1, activation_checkpointing_policy={nn.Linear}))
    assert_same_weights(plain, model)
    assert {name: type(each) for name, each in model.named_modules()} == before
    assert all(type(each) is nn.Parameter for each in model.parameters())
    assert not model.frozen.requires_grad
    for each in model.modules():
        assert not each._forward_pre_hooks and not each._forward_hooks and not each._state_dict_pre_hooks
        assert not [name for name in vars(each) if "composable" in name or name == "forward"]
    model.net(torch.randn(2, 8))
    again = quiet(tmp_path, strategy="fsdp2", max_epochs=1)
    again.fit(model, loader())  # a second time
    assert all(type(each) is nn.Parameter for each in model.parameters())


def test_a_module_that_stays_sharded_is_taken_up_again(tmp_path: Path) -> None:
    plain, _ = fit(tmp_path, "auto", epochs=2)
    model, trainer = fit(tmp_path, FSDPStrategy(state_dict_type="sharded", min_num_params=1), epochs=1)
    assert all(isinstance(each, DTensor) for each in model.parameters())
    trainer.save_checkpoint(tmp_path / "folder.ckpt")
    other = quiet(tmp_path, strategy=FSDPStrategy(), max_epochs=2)
    other.fit(model, loader(), ckpt_path=tmp_path / "folder.ckpt")
    assert_same_weights(plain, model)


def test_configure_model_may_shard_and_weights_may_wait_for_memory(tmp_path: Path) -> None:
    """Layers on device "meta" get memory once they are sharded, and first values, or those of a checkpoint."""

    class Large(Stateful):
        def configure_model(self) -> None:
            with torch.device("meta"):
                self.net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))

    model, trainer = fit(tmp_path, "auto", epochs=1)
    trainer.save_checkpoint(tmp_path / "file.ckpt")
    fit(tmp_path, FSDPStrategy(state_dict_type="sharded"), epochs=1)[1].save_checkpoint(
        tmp_path / "folder.ckpt"
    )
    for name in ("file.ckpt", "folder.ckpt"):
        large = Large()
        quiet(tmp_path, strategy="fsdp", max_epochs=1).fit(large, loader(), ckpt_path=tmp_path / name)
        assert_same_weights(model, large, name)
    fresh = Large()
    quiet(tmp_path, strategy="fsdp", max_epochs=1).fit(fresh, loader())
    assert not any(each.isnan().any() for each in fresh.parameters())


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed", "bf16-true", "64-true"])
def test_precisions(tmp_path: Path, precision: str) -> None:
    plain, _ = fit(tmp_path, "auto", precision=precision, gradient_clip_val=0.5)
    model, _ = fit(tmp_path, FSDPStrategy(min_num_params=1), precision=precision, gradient_clip_val=0.5)
    for name, value in plain.state_dict().items():
        assert model.state_dict()[name].dtype == value.dtype
        assert torch.allclose(model.state_dict()[name].float(), value.float(), atol=3e-2), name


# -- folders --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    _, trainer = fit(tmp_path, FSDPStrategy(state_dict_type="sharded"), epochs=1)
    trainer.save_checkpoint(tmp_path / "folder.ckpt")
    return tmp_path / "folder.ckpt"


def test_a_folder_loads_like_a_file(shards: Path) -> None:
    plain, _ = fit(shards.parent, "auto", epochs=1)
    assert_same_weights(plain, Stateful.load_from_checkpoint(shards))
    resumed, _ = fit(shards.parent, "auto", epochs=2, ckpt_path=shards)
    assert_same_weights(fit(shards.parent, "auto", epochs=2)[0], resumed)


def test_a_damaged_folder_is_named_and_last_takes_the_one_before(shards: Path) -> None:
    newer = shards.with_name("last.ckpt")
    _, trainer = fit(shards.parent, FSDPStrategy(state_dict_type="sharded"), epochs=1)
    trainer.save_checkpoint(newer)
    part = next(newer.glob("*.distcp"))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"last\.ckpt: __0_0\.distcp is missing or cut short\."):
        sharded_checkpoint.read(newer)
    trainer = quiet(
        shards.parent,
        strategy="fsdp",
        callbacks=[ModelCheckpoint(shards.parent)],
        enable_checkpointing=True,
        max_epochs=1,
    )
    with pytest.warns(UserWarning, match="cut short"):
        trainer.fit(Stateful(), loader(), ckpt_path="last")
    assert trainer.ckpt_path == str(shards)
    (shards / "meta.pt").unlink()
    with pytest.raises(
        CheckpointError, match=r"is a folder, but no checkpoint of shards: it has no meta\.pt"
    ):
        checkpoint_io.load(shards)


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("evil",)


@pytest.mark.parametrize("name", [".metadata", "meta.pt"])
def test_no_code_of_a_folder_is_run(shards: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shards.parent)
    if name == ".metadata":
        (shards / name).write_bytes(pickle.dumps(Evil()))
    else:
        torch.save({"state_dict": Evil()}, shards / name)
    with pytest.raises(CheckpointError, match=r"mkdir"):
        checkpoint_io.load(shards)
    assert not Path("evil").exists()


def test_a_folder_takes_the_place_of_a_file_and_of_a_folder(shards: Path) -> None:
    strategy = FSDPStrategy(state_dict_type="sharded")
    _, trainer = fit(shards.parent, strategy, epochs=1)
    path = shards.parent / "last.ckpt"
    path.write_text("an older file")
    for _ in range(2):
        trainer.save_checkpoint(path)
        assert sharded_checkpoint.read(path)["global_step"] == 10
    checkpoint_io.save({"state_dict": {}}, path)
    assert path.is_file()
    assert not [each for each in shards.parent.iterdir() if each.name.startswith(".")]
    checkpoint_io.remove(shards)
    assert not shards.exists()


def test_a_full_disk_leaves_what_was_there(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, trainer = fit(shards.parent, FSDPStrategy(state_dict_type="sharded"), epochs=1)

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sharded_checkpoint.torch, "save", full)
    with pytest.raises(OSError, match=r"folder\.ckpt: cannot be written \(No space left on device\)"):
        trainer.save_checkpoint(shards)
    monkeypatch.undo()
    assert sharded_checkpoint.read(shards)["global_step"] == 10
    assert not [each for each in shards.parent.iterdir() if each.name.startswith(".")]


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert consolidate_checkpoint.main([str(tmp_path / "none.ckpt")]) == 2
    assert "none.ckpt: is no folder" in capsys.readouterr().err


# -- refusals -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"state_dict_type": "half"}, "pass 'full' or 'sharded'"),
        ({"sharding_strategy": "NO_SHARD"}, "strategy='ddp' is the one that shards nothing"),
        ({"mixed_precision": "bf16"}, "takes torch.distributed.fsdp.MixedPrecisionPolicy"),
        ({"state_dict_type": "sharded", "start_method": "spawn"}, "parts of weights cannot come back"),
    ],
)
def test_options_that_make_no_sense(options: Any, words: str) -> None:
    with pytest.raises(MisconfigurationException, match=words):
        FSDPStrategy(**options)


def test_what_does_not_go_together_is_said_by_the_trainer() -> None:
    with pytest.raises(MisconfigurationException, match="AsyncCheckpointIO would have no effect"):
        quiet(strategy=FSDPStrategy(state_dict_type="sharded"), plugins=[AsyncCheckpointIO()])
    with pytest.raises(MisconfigurationException, match=r"is a mesh of 4 processes, but 1 train"):
        quiet(strategy=FSDPStrategy(device_mesh=(2, 2)))


@pytest.mark.parametrize(
    "callback",
    [
        EMAWeightAveraging(),
        StochasticWeightAveraging(swa_lrs=0.1),
        ModelPruning("l1_unstructured", amount=0.5),
    ],
)
def test_callbacks_on_whole_weights_are_refused_before_a_process_starts(
    tmp_path: Path, callback: Any
) -> None:
    trainer = quiet(tmp_path, strategy="fsdp", callbacks=[callback])
    with pytest.raises(MisconfigurationException, match=f"{type(callback).__name__} works on whole weights"):
        trainer.fit(Classifier(), loader())
    assert not dist.is_initialized()


def test_optimizers_that_cannot_step_parts(tmp_path: Path) -> None:
    class Early(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.made = torch.optim.SGD(self.parameters(), lr=0.1)

        def configure_optimizers(self) -> Any:
            return self.made

    class Whole(Classifier):
        def configure_optimizers(self) -> Any:
            return torch.optim.LBFGS(self.parameters())

    with pytest.raises(MisconfigurationException, match="Make the optimizer in configure_optimizers"):
        quiet(tmp_path, strategy="fsdp").fit(Early(), loader())
    with pytest.raises(MisconfigurationException, match="LBFGS looks at all parameters as one vector"):
        quiet(tmp_path, strategy="fsdp").fit(Whole(), loader())


def test_a_part_of_a_part_used_by_itself_is_explained(tmp_path: Path) -> None:
    class Inside(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3)) for _ in range(2))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return nn.functional.cross_entropy(self.layers[0][1](self.layers[0][0](batch[0])), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    with pytest.raises(
        MisconfigurationException, match="a parameter was used while only its part of this process was there"
    ):
        quiet(tmp_path, strategy=FSDPStrategy(auto_wrap_policy={nn.Sequential})).fit(Inside(), loader())


def test_names() -> None:
    for name in ("fsdp", "fsdp2", "fsdp_cpu_offload"):
        assert isinstance(StrategyRegistry.get(name), FSDPStrategy)
    old = FSDPStrategy(
        sharding_strategy=ShardingStrategy.SHARD_GRAD_OP, cpu_offload=CPUOffload(False)
    )  # as Lightning takes them
    assert (old.reshard_after_forward, old.cpu_offload) == (False, False)
    assert FSDPStrategy(mixed_precision=MixedPrecisionPolicy(torch.bfloat16)).name == "fsdp"
