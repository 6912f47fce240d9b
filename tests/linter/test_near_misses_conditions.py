"""What does not happen in each batch or each process, and what code in another file may need: no findings."""

from __future__ import annotations

import sys

import pytest
from linting import codes_of, in_module, in_step

from litify_linter.check import check_source
from litify_linter.config import Settings
from litify_linter.run import check_paths

DIST = "import torch.distributed as dist\nfrom litify import LightningModule"


class TestConditions:
    def test_host_sync_in_a_method_called_now_and_then(self):
        step = (
            "def training_step(self, batch, batch_idx):\n    {}self.draw(batch)\n    return self.loss(batch)"
        )
        draw = "\n\ndef draw(self, x):\n    self.kept.append(x.cpu())"
        assert in_module(step.format("") + draw) == ["LIT602"]
        assert in_module(step.format("if batch_idx % 9 == 0:\n        ") + draw) == []

    def test_host_sync_under_a_condition(self):
        assert in_step("if 'heat' in batch:\n    self.kept.append(loss.cpu())") == []

    def test_rank_in_a_conditional_expression(self):
        text = "def on_fit_end(self):\n    self.n = {}"
        assert in_module(text.format("dist.get_rank()"), DIST) == ["LIT404"]
        assert in_module(text.format("dist.get_rank() if self.use_ddp else 0"), DIST) == []

    def test_flush_and_print_under_a_condition(self):
        imports = "import torch\nfrom litify import LightningModule"
        for call, code in [("torch.cuda.empty_cache()", "LIT106"), ("print(batch)", "LIT601")]:
            step = "def validation_step(self, batch, batch_idx):\n    {}"
            assert in_module(step.format(call), imports) == [code]
            assert in_module(step.format(f"if self.verbose:\n        {call}"), imports) == []
            assert in_module(step.format(f"try:\n        x\n    except E:\n        {call}"), imports) == []
            assert in_module(step.format(f"if batch is None:\n        return\n    {call}"), imports) == []

    def test_results_that_a_base_in_another_file_may_read(self):
        text = """
        from lightning import LightningModule
        from ours import {0}

        class Lit({0}, LightningModule):
            def training_step(self, batch, batch_idx):
                return {{"loss": self.loss(batch), "log": 3}}
        """
        assert codes_of(text.format("Wrapped")) == []
        assert codes_of(text.replace("{0}, Light", "Light").format("Wrapped")) == ["LIT607"]

    def test_moves_that_may_be_needed(self):
        step = (
            "def training_step(self, batch, batch_idx):\n    x = {}.to(self.device)\n    return self.loss(x)"
        )
        assert in_module(step.format("batch['x']")) == ["LIT101"]
        assert in_module(step.format("batch.x")) == []
        assert in_module(step.format("batch['x'].cpu()")) == []
        moved = "\n\ndef transfer_batch_to_device(self, batch, device, dataloader_idx):\n    return batch"
        assert in_module(step.format("batch['x']") + moved) == []

    def test_gradients_turned_on_elsewhere_in_the_class(self):
        text = "def validation_step(self, batch, batch_idx):\n    with torch.no_grad():\n        self.score(batch)"
        imports = "import torch\nfrom litify import LightningModule"
        on = "\n\ndef score(self, batch):\n    with torch.enable_grad():\n        return self.force(batch)"
        assert in_module(text, imports) == ["LIT302"]
        assert in_module(text + on, imports) == []

    def test_sampler_for_several_processes_only(self):
        body = "def val_dataloader(self):\n    sampler = None\n    {}sampler = DistributedSampler(self.x)\n"
        body += "    return DataLoader(self.x, sampler=sampler)"
        imports = "from litify import LightningDataModule\nfrom torch.utils.data import DataLoader, DistributedSampler"
        assert in_module(body.format(""), imports, "LightningDataModule") == ["LIT403"]
        assert in_module(body.format("if self.distributed:\n        "), imports, "LightningDataModule") == []


class TestTrainingLoops:
    """Loops that reach a step and are no training on data that a Trainer could run."""

    LOOP = "    for x in loader:\n        loss(x).backward()\n        optimizer.step()\n"

    @pytest.mark.parametrize(
        ("header", "found"),
        [
            ("def train(model):", True),
            ("def main():", True),
            ("def objective(trial):", True),
            ("def score_samples(model):", False),
            ("def benchmark_train(model):", False),
            ("def warmup(model):", False),
            ("def check_that_it_trains(model):", False),
            ("@interface.register_fl_task(model='net')\ndef train(model):", False),
            ("@hydra.main(config_path='conf')\ndef main(config):", True),
        ],
    )
    def test_functions_by_name(self, header, found):
        assert codes_of(f"import torch, hydra\n{header}\n{self.LOOP}") == ["LIT901"] * found

    def test_functions_that_the_script_runs(self):
        text = f"import torch\ndef go(model):\n{self.LOOP}"
        assert codes_of(text) == []
        assert codes_of(text + "if __name__ == '__main__':\n    go(net)\n") == ["LIT901"]

    @pytest.mark.parametrize(
        ("bases", "constructor", "alone", "run"),
        [
            ("", "self", True, True),
            ("(torch.nn.Module)", "self", True, True),
            ("(Base)", "self", False, False),
            ("", "self, model, loader", False, True),
            ("", "self, args", True, True),
            ("(abc.ABC)", "self", True, True),
        ],
    )
    def test_methods_of_classes_that_others_drive(self, bases, constructor, alone, run):
        text = f"""
        import torch
        from ours import Base

        class Fitted{bases}:
            def __init__({constructor}):
                self.loader = make()

            def fit(self):
                for x in self.loader:
                    self.loss(x).backward()
                    self.optimizer.step()
        """
        assert codes_of(text) == ["LIT901"] * alone
        assert codes_of(text + "\n        Fitted(net).fit()") == ["LIT901"] * run

    def test_data_that_acting_makes(self):
        text = """
        import torch

        for episode in range(9):
            {}
            loss(state).backward()
            optimizer.step()
        """
        assert codes_of(text.format("state, reward, done, info = env.step(action)")) == []
        assert codes_of(text.format("state, reward, done, info = read(action)")) == ["LIT901"]

    @pytest.mark.parametrize("library", ["horovod.torch", "openfl", "deepspeed", "catalyst", "torchrl"])
    def test_libraries_with_loops_of_their_own(self, library):
        assert codes_of(f"import torch\nimport {library}\ndef train():\n{self.LOOP}") == []

    @pytest.mark.parametrize(
        ("given", "found"),
        [
            ("[pose, shape]", False),
            ("[{'params': [pose]}]", False),
            ("unknowns", False),
            ("[{'params': net.parameters()}]", True),
            ("groups", True),
            ("[net.weight, net.bias]", True),
        ],
    )
    def test_several_inputs(self, given, found):
        text = f"""
        import torch

        pose, shape = torch.zeros(3), torch.zeros(net.hparams.size)
        unknowns = [pose, shape]
        groups = [{{"params": net.parameters()}}]
        optimizer = torch.optim.Adam({given})
        for step in range(9):
            loss(pose).backward()
            optimizer.step()
        """
        assert codes_of(text) == ["LIT901"] * found

    def test_groups_that_are_filled_later(self):
        text = """
        import torch

        def train(model):
            decayed, others = [], []
            for p in model.parameters():
                (decayed if p.ndim > 1 else others).append(p)
            optimizer = torch.optim.Adam(decayed)
            optimizer.add_param_group({"params": others})
            for epoch in range(9):
                loss(model).backward()
                optimizer.step()
        """
        assert codes_of(text) == ["LIT901"]

    def test_an_algorithm_that_fits_again_and_again(self):
        text = """
        import torch

        {}
            optimizer = torch.optim.Adam(net.parameters())
            for epoch in range(9):
                loss(net).backward()
                optimizer.step()
        """
        assert codes_of(text.format("while len(tried) < 30:")) == []
        assert codes_of(text.format("for fold in range(5):")) == ["LIT901"]

    def test_steps_of_the_module_over_nothing_known(self):
        text = "import torch\noptimizer = torch.optim.Adam({})\nfor i in bar:\n    x.backward()\n    optimizer.step()\n"
        assert codes_of(text.format("[latent] + noises")) == []
        assert codes_of(text.format("model.parameters()")) == ["LIT901"]

    def test_an_image_that_is_painted(self):
        text = """
        import torch

        def train(image, max_epochs{}):
            painted, {} = start(image)
            for i in range(max_epochs):
                loss(painted).backward()
                optimizer.step()
        """
        assert codes_of(text.format("", "optimizer")) == []
        assert codes_of(text.format(", model", "optimizer")) == ["LIT901"]
        assert codes_of(text.format("", "other")) == ["LIT901"]


class TestVersions:
    """Code that asks which Lightning it runs under."""

    def test_arguments(self):
        text = "import lightning as L\nif {}:\n    L.Trainer(gpus=2)\nelse:\n    L.Trainer(devices=2)\n"
        assert codes_of(text.format("L.__version__ < '2'")) == []
        assert codes_of(text.format("WITHOUT_LIGHTNING_V2")) == []
        assert codes_of(text.format("fast")) == ["LIT902"]

    def test_hooks(self):
        text = "def training_step_end(self, parts):\n    {}\n        self.gather(parts)"
        imports = "import lightning as L\nfrom lightning import LightningModule"
        assert in_module(text.format("if L.__version__[0] != '2':"), imports) == []
        assert in_module(text.format("if self.many:"), imports) == ["LIT804"]

    def test_imports_and_attributes(self):
        text = "import pytorch_lightning as pl\nif {}:\n    from pytorch_lightning import metrics\n"
        assert codes_of(text.format("VERSION < (2, 0)")) == []
        text = "from lightning import Trainer\nt = Trainer()\nx = t.gpus if {} else 1\n"
        assert codes_of(text.format("version < 2")) == []


def test_devices_in_methods_that_scripts_call():
    """Before the Trainer has a module its device is the CPU, and scripts ask for the hardware."""
    text = "def {0}(self):\n    {2}return torch.empty(3, device='cuda')\n\ndef forward(self, x):\n    return self.{1}()"
    imports = "import torch\nfrom litify import LightningModule"
    asked = "if self.gpu:\n        "
    assert in_module(text.format("first_weights", "net", asked), imports) == []
    assert in_module(text.format("first_weights", "net", ""), imports) == ["LIT102"]
    assert in_module(text.format("first_weights", "first_weights", asked), imports) == ["LIT102"]


def test_samplers_beside_a_sampler_of_batches():
    body = """def val_dataloader(self):
    return DataLoader(self.x, sampler=DistributedSampler(self.x))

def train_dataloader(self):
    return DataLoader(self.x, {}=self.make())"""
    imports = (
        "from litify import LightningDataModule\nfrom torch.utils.data import DataLoader, DistributedSampler"
    )
    assert in_module(body.format("batch_sampler"), imports, "LightningDataModule") == []
    assert in_module(body.format("collate_fn"), imports, "LightningDataModule") == ["LIT403"]


@pytest.mark.parametrize(
    "last", ["raise NotImplementedError", "raise NotImplementedError('say how')", "return x"]
)
def test_hyperparameters_of_a_class_that_others_finish(last):
    text = f"""
    from lightning import LightningModule

    class Method(LightningModule):
        def __init__(self, width: int):
            super().__init__()
            self.width = width

        def loss(self, x):
            {last}

        def training_step(self, batch, batch_idx):
            return self.loss(batch)

        def configure_optimizers(self):
            return make(self)
    """
    assert codes_of(text) == (["LIT808"] if "return" in last else [])


def test_methods_that_are_given_a_model():
    text = """
    import torch

    class Task:
        def train_epoch(self, {}):
            for x in loader:
                model(x).backward()
                optimizer.step()
    """
    assert codes_of(text.format("model, loader, optimizer")) == []
    assert codes_of(text.format("epoch")) == ["LIT901"]


@pytest.mark.parametrize(
    "line",
    [
        "class Box[T]:\n    x = 1",
        "def first[T](x: list[T]) -> T:\n    return x[0]",
        "type Pair = tuple[int, int]",
    ],
)
def test_syntax_of_a_newer_python(line):
    """A valid file is not called wrong: what reads it is too old."""
    found = check_source(f"import torch\n{line}\n".encode(), "x.py", Settings()).findings
    if sys.version_info >= (3, 12):
        assert not found
    else:
        assert [f.code for f in found] == ["E901"] and "run litify under Python 3.12" in found[0].message


def test_templates_of_projects(tmp_path):
    folder = tmp_path / "{{ cookiecutter.name }}"
    folder.mkdir()
    (folder / "train.py").write_text("import torch\nfrom {{ cookiecutter.name }} import net\n")
    (tmp_path / "{{ name }}.py").write_text("import torch, {{ name }}\n")
    assert not check_paths([str(tmp_path)], lambda _: Settings()).checked
