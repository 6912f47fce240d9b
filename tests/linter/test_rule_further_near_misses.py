"""What the rules about scripts, checkpoints, logging and hyperparameters must not find, beside what they must."""

from __future__ import annotations

import textwrap

import pytest
from linting import codes_of, in_module, in_step

INIT = "def __init__(self):\n    super().__init__()\n"
NN = "from torch import nn, optim\nfrom litify import LightningModule"


def trainer(arguments: str, package: str = "litify") -> list[str]:
    return codes_of(f"from {package} import Trainer\ntrainer = Trainer({arguments})\n")


class TestPrecisionAndDevices:
    def test_half_of_a_tensor_is_a_matter_of_the_step(self):
        assert in_step("x = batch.half()\ny = torch.zeros(3).bfloat16()\nself.mask.half()") == []

    def test_half_of_a_module(self):
        body = INIT + "    self.net = nn.Linear(1, 1){}"
        assert in_module(body.format(".half()"), NN) == ["LIT104"]
        assert in_module(body.format(".to(torch.float16)"), NN) == ["LIT104"]
        assert in_module(body.format(".to(dtype=torch.bfloat16)"), NN) == ["LIT104"]
        assert in_module(body.format(".float()"), NN) == []
        assert in_module(body.format(".to(torch.float64)"), NN) == []

    def test_other_variables_of_the_environment(self):
        text = "import os\nfrom litify import Trainer\nos.environ['{}'] = '1'\nTrainer()\n"
        assert codes_of(text.format("OMP_NUM_THREADS")) == []
        assert codes_of(text.format("CUDA_VISIBLE_DEVICES")) == ["LIT105"]
        assert codes_of(text.format("CUDA_VISIBLE_DEVICES").replace("Trainer", "LightningModule")) == []

    def test_a_flush_each_epoch(self):
        imports = "import gc\nfrom litify import LightningModule"
        assert in_module("def on_train_epoch_end(self):\n    gc.collect()", imports) == []
        assert in_module(
            "def on_train_batch_end(self, outputs, batch, batch_idx):\n    gc.collect()", imports
        ) == ["LIT106"]
        assert in_step("if self.global_step % 100 == 0:\n    torch.cuda.empty_cache()") == []


class TestOptimizers:
    def optimizers(self, body: str, before: str = "", base: str = "LightningModule") -> list[str]:
        text = f"def configure_optimizers(self):\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}"
        return in_module(f"{before}\n{text}", f"{NN}\n\nnet = nn.Linear(1, 1)", base)

    def test_whose_parameters(self):
        assert self.optimizers("return optim.SGD(net.parameters(), 0.1)") == ["LIT208"]
        assert self.optimizers("return optim.SGD(self.parameters(), 0.1)") == []
        assert self.optimizers("net = self.net\nreturn optim.SGD(net.parameters(), 0.1)") == []
        assert self.optimizers("return optim.SGD(self.net.parameters(), 0.1)") == []

    STEP = "def training_step(self, batch, batch_idx):\n    return self.loss(batch)\n"

    @pytest.mark.parametrize(
        ("returned", "found"),
        [
            ("a, b", ["LIT209"]),
            ("[a, b]", ["LIT209"]),
            ("[a, b], [scheduler]", ["LIT209"]),
            ("[a]", []),
            ("[a], [scheduler]", []),
            ("[a], []", []),
            ("a", []),
        ],
    )
    def test_how_many(self, returned, found):
        body = "a = optim.Adam(self.parameters())\nb = optim.Adam(self.parameters())\nscheduler = self.make(a, b)\n"
        assert self.optimizers(body + f"return {returned}", self.STEP) == found
        manual = INIT + "    self.automatic_optimization = False\n"
        assert self.optimizers(body + f"return {returned}", manual + self.STEP) == []

    PLATEAU = "o = optim.SGD(self.parameters(), 0.1)\ns = optim.lr_scheduler.ReduceLROnPlateau(o)\nreturn "

    @pytest.mark.parametrize(
        ("returned", "found"),
        [
            ("[o], [s]", ["LIT210"]),
            ("[o], [{'scheduler': s}]", ["LIT210"]),
            ("[o], [{'scheduler': s, 'monitor': 'x'}]", []),
            ("{'optimizer': o, 'lr_scheduler': s}", ["LIT210"]),
            ("{'optimizer': o, 'lr_scheduler': s, 'monitor': 'x'}", []),
            ("{'optimizer': o, 'lr_scheduler': {'scheduler': s, 'monitor': 'x'}}", []),
            ("{'optimizer': o, 'lr_scheduler': {'scheduler': s}}", ["LIT210"]),
            ("{'optimizer': o, **self.schedule(s)}", []),
            ("{'optimizer': o, 'lr_scheduler': {'scheduler': s, **self.options}}", []),
            ("self.combine(o, s)", []),
        ],
    )
    def test_the_metric_of_a_plateau(self, returned, found):
        assert self.optimizers(self.PLATEAU + returned) == found

    def test_unreturned(self):
        assert self.optimizers("optimizer = optim.SGD(self.parameters(), 0.1)") == ["LIT211"]
        assert self.optimizers("self.made = optim.SGD(self.parameters(), 0.1)") == []
        assert self.optimizers("optimizer = optim.SGD(self.parameters(), 0.1)\nyield optimizer") == []
        assert self.optimizers("scheduler = 3") == []


class TestLoops:
    @pytest.mark.parametrize(
        ("loop", "found"),
        [
            ("for b in self.val_dataloader():\n    self.validation_step(b, 0)", ["LIT303"]),
            (
                "for i, b in enumerate(self.trainer.val_dataloaders):\n    self.validation_step(b, i)",
                ["LIT303"],
            ),
            ("for view in batch:\n    self.validation_step(view, 0)", []),
            ("for b in self.val_dataloader():\n    self.update(b)", []),
        ],
    )
    def test_steps_by_hand(self, loop, found):
        assert in_module(f"def on_train_epoch_end(self):\n{textwrap.indent(loop, '    ')}") == found


class TestRanks:
    DIST = "import torch.distributed as dist\nfrom litify import LightningModule"

    def test_questions(self):
        assert in_module("def on_fit_start(self):\n    self.n = dist.get_world_size()", self.DIST) == [
            "LIT404"
        ]
        assert in_module("def on_fit_start(self):\n    self.n = dist.get_rank(self.group)", self.DIST) == []
        guarded = "def n(self):\n    return dist.get_rank() if dist.is_initialized() else 0"
        assert in_module(guarded, self.DIST) == []
        assert (
            codes_of(f"{self.DIST}\n\nclass Lit(LightningModule):\n    x = 1\n\nprint(dist.get_rank())\n")
            == []
        )

    SAVE = 'torch.save(self.x, "x.pt")'

    @pytest.mark.parametrize(
        ("body", "found"),
        [
            (SAVE, ["LIT702"]),
            (f"if self.global_rank == 0:\n    {SAVE}", []),
            (f"if not self.trainer.is_global_zero:\n    return\n{SAVE}", []),
            ('torch.save(self.x, f"{self.global_rank}.pt")', []),
            (f"if self.current_epoch % 10 == 0:\n    {SAVE}", ["LIT702"]),
        ],
    )
    def test_saving(self, body, found):
        text = f"def on_train_epoch_end(self):\n    self.log('x', 1, sync_dist=True)\n{textwrap.indent(body, '    ')}"
        assert in_module(text) == found

    def test_saving_in_a_file_for_one_process(self):
        assert in_module(f"def on_train_epoch_end(self):\n    {self.SAVE}") == []


class TestData:
    SPLIT = "from torch.utils.data import random_split\nfrom litify import LightningModule"

    @pytest.mark.parametrize(
        ("call", "found"),
        [
            ("random_split(self.x, [1, 2])", ["LIT505"]),
            ("random_split(self.x, [1, 2], generator=self.g)", []),
            ("random_split(self.x, [1, 2], self.g)", []),
            ("random_split(self.x, **self.options)", []),
        ],
    )
    def test_splits(self, call, found):
        assert in_module(f"def setup(self, stage):\n    self.a, self.b = {call}", self.SPLIT) == found
        seeded = f"def setup(self, stage):\n    torch.manual_seed(3)\n    self.a, self.b = {call}"
        assert in_module(seeded, self.SPLIT) == []

    def test_splits_of_scikit_learn(self):
        imports = "from sklearn.model_selection import train_test_split\nfrom litify import LightningModule"
        split = "def setup(self, stage):\n    self.a = train_test_split(self.x{})"
        assert in_module(split.format(""), imports) == ["LIT505"]
        assert in_module(split.format(", random_state=1"), imports) == []
        assert in_module(split.format(", shuffle=False"), imports) == []

    def test_transforms(self):
        imports = "from torchvision.transforms import v2\nfrom litify import LightningModule"
        step = "def training_step(self, batch, batch_idx):\n    return self.loss({}(batch))"
        assert in_module(step.format("v2.RandomCrop(3)"), imports) == ["LIT506"]
        assert in_module(step.format("v2.functional.normalize"), imports) == []
        assert in_module(step.format("self.transform"), imports) == []


class TestLogging:
    def test_writers(self):
        imports = "import wandb\nfrom litify import LightningModule"
        assert in_module("def on_train_end(self):\n    wandb.log({'x': 1})", imports) == ["LIT605"]
        assert in_module("def on_train_end(self):\n    self.show(wandb.Image(self.x))", imports) == []
        assert codes_of(f"{imports}\n\nwandb.init()\n") == []

    LIST = "def __init__(self):\n    super().__init__()\n    self.x = {}\n\n"
    STEP = "def validation_step(self, batch, batch_idx):\n    {}\n\n"

    @pytest.mark.parametrize(
        ("end", "found"),
        [
            ("print(file=self.x)", ["LIT606"]),
            ("self.log('x', sum(self.x) / len(self.x))", ["LIT606"]),
            ("self.x.clear()", []),
            ("self.x = []", []),
            ("self.x, self.y = [], []", []),
            ("del self.x[:]", []),
            ("self.x[:] = []", []),
            ("self.x.pop()", []),
            ("self.finish(self.x)", []),
        ],
    )
    def test_lists(self, end, found):
        body = self.LIST.format("[]") + self.STEP.format("self.x.append(1)")
        assert in_module(body + f"def on_validation_epoch_end(self):\n    {end}") == found

    def test_what_is_no_list_or_seldom(self):
        assert in_module(self.LIST.format("deque(maxlen=3)") + self.STEP.format("self.x.append(1)")) == []
        assert in_module(self.LIST.format("[]") + self.STEP.format("self.y.append(1)")) == []
        seldom = self.STEP.format("if batch_idx == 0:\n        self.x.append(1)")
        assert in_module(self.LIST.format("[]") + seldom) == []

    def test_in_forward(self):
        assert in_module("def forward(self, x):\n    self.log('x', 1)\n    return x") == ["LIT807"]
        own = "def forward(self, x):\n    return self.log(x)\n\ndef log(self, x):\n    return torch.log(x)"
        assert in_module(own) == []


class TestShape:
    @pytest.mark.parametrize(
        ("arguments", "found"),
        [
            ("rate=0.1", ["LIT808"]),
            ("rate: float", ["LIT808"]),
            ("net, *, width: int", ["LIT808"]),
            ("net", []),
            ("net=None", []),
            ("*layers, **options", []),
            ("config: dict", []),
        ],
    )
    def test_hyperparameters(self, arguments, found):
        body = f"def __init__(self, {arguments}):\n    super().__init__()\n"
        assert in_module(body) == found
        assert in_module(body + "    self.save_hyperparameters()") == []
        assert in_module(body + "    self.hparams.update(x=1)") == []
        assert in_module(body, base="LightningModule, Mixin") == []
        cli = "from litify import LightningModule\nfrom lightning.pytorch.cli import LightningCLI"
        assert in_module(body, cli) == []

    def test_no_optimizers(self):
        text = """
        from litify import LightningModule, Trainer

        class Lit({base}):
            def training_step(self, batch, batch_idx):
                return self.loss(batch)

        {after}
        """
        assert codes_of(text.format(base="LightningModule", after="Trainer().fit(Lit())")) == ["LIT810"]
        assert codes_of(text.format(base="LightningModule", after="")) == []
        assert codes_of(text.format(base="Base", after="Trainer().fit(Lit())")) == []
        attached = "module = Lit()\n        module.configure_optimizers = make\n        Trainer().fit(module)"
        assert codes_of(text.format(base="LightningModule", after=attached)) == []

    def test_the_trainer_in_the_constructor(self):
        assert in_module(INIT + "    self.n = self.trainer.max_epochs") == ["LIT811"]
        assert in_module(INIT + "    self.n = self.optimizers()[0]") == ["LIT811"]
        assert in_module(INIT + "    self.n = lambda: self.trainer.max_epochs") == []
        own = "def __init__(self, trainer):\n    super().__init__()\n    self.trainer = trainer\n    self.trainer.x"
        assert in_module(own) == []

    def test_properties(self):
        assert in_module(INIT + "    self.hparams = {}") == ["LIT812"]
        assert in_module(INIT + "    self.hparams.x = 1\n    self.my_device = 1") == []
        own = "device = None\n\n" + INIT + "    self.device = 1"
        assert in_module(own) == []
        text = "import litify\n\n\nclass A:\n    def __init__(self):\n        self.device = 1\n"
        assert codes_of(text) == []

    @pytest.mark.parametrize(
        ("signature", "found"),
        [
            ("setup(self)", ["LIT806"]),
            ("setup(self, stage=None)", []),
            ("setup(self, *args)", []),
            ("setup(self, **kwargs)", []),
            ("on_train_batch_end(self, outputs)", ["LIT806"]),
            ("on_train_batch_end(self, outputs, batch, batch_idx, unused=0)", []),
            ("on_validation_batch_end(self, outputs, batch, batch_idx)", []),
            ("on_validation_batch_end(self, outputs, batch)", ["LIT806"]),
            ("on_train_start(self)", []),
            ("configure_optimizers(self, rate)", []),
        ],
    )
    def test_signatures(self, signature, found):
        assert in_module(f"def {signature}:\n    self.x = 3") == found

    def test_signatures_of_data_modules(self):
        text = "from litify import LightningDataModule\n\n\nclass D(LightningDataModule):\n    def setup(self{}):\n        pass\n"
        assert codes_of(text.format("")) == ["LIT806"]
        assert codes_of(text.format(", stage")) == []


class TestTrainers:
    @pytest.mark.parametrize(
        ("arguments", "found"),
        [
            ("max_epoch=3", ["LIT904"]),
            ("gradient_clip_value=1.0", ["LIT904"]),
            ("completely_made_up=1", ["LIT904"]),
            ("max_epochs=3, **options", []),
            ("gpus=2", []),
            ("val_check_interval=0.5, check_val_every_n_epoch=None", ["LIT903"]),
            ("val_check_interval=50, check_val_every_n_epoch=None", []),
            ("gradient_clip_val=1.0", []),
        ],
    )
    def test_arguments(self, arguments, found):
        assert trainer(arguments) == found

    def test_callbacks_without_what_they_need(self):
        text = "from lightning import Trainer\nfrom lightning.pytorch import callbacks as c\nTrainer({})\n"
        assert codes_of(text.format("logger=False, callbacks=[c.LearningRateMonitor()]")) == ["LIT903"]
        assert codes_of(text.format("logger=True, callbacks=[c.LearningRateMonitor()]")) == []
        assert codes_of(text.format("enable_progress_bar=False, callbacks=[c.RichProgressBar()]")) == [
            "LIT903"
        ]
        assert codes_of(text.format("enable_progress_bar=False, callbacks=every")) == []

    MANUAL = """
    from litify import LightningModule, Trainer

    class A(LightningModule):
        automatic_optimization = False
    {more}
    Trainer({arguments})
    """

    def test_manual_optimization(self):
        other = "\n    class B(LightningModule):\n        x = 1\n"
        assert codes_of(self.MANUAL.format(more="", arguments="accumulate_grad_batches=4")) == ["LIT903"]
        assert codes_of(self.MANUAL.format(more="", arguments="accumulate_grad_batches=1")) == []
        assert codes_of(self.MANUAL.format(more="", arguments="gradient_clip_val=None")) == []
        assert codes_of(self.MANUAL.format(more=other, arguments="gradient_clip_val=1.0")) == []

    def test_arguments_of_fit(self):
        text = "from lightning import Trainer\nt = Trainer()\nt.{}\n"
        assert codes_of(text.format("fit(m, train_dataloader=x)")) == ["LIT905"]
        assert codes_of(text.format("test(m, test_dataloaders=x)")) == ["LIT905"]
        assert codes_of(text.format("fit(m, train_dataloaders=x)")) == []
        assert codes_of("import lightning\nfitter.fit(m, train_dataloader=x)\n") == []

    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("from pytorch_lightning.metrics import Accuracy", ["LIT906"]),
            ("import pytorch_lightning.metrics", ["LIT906"]),
            ("from pytorch_lightning import metrics", ["LIT906"]),
            ("from lightning.pytorch.utilities.cli import LightningCLI", ["LIT906"]),
            ("from pytorch_lightning.plugins import DDPPlugin", ["LIT906"]),
            ("from pytorch_lightning.plugins import DDPPluginOfOurs", []),
            ("from pytorch_lightning.metrics_of_ours import x", []),
            ("from lightning.pytorch.cli import LightningCLI", []),
            ("from pytorch_lightning.utilities.distributed_sampling import x", []),
            ("try:\n    from pytorch_lightning import metrics\nexcept ImportError:\n    metrics = None", []),
        ],
    )
    def test_imports(self, line, found):
        assert codes_of(f"{line}\n") == found

    def test_whole_modules(self):
        text = """
        import torch
        from torch import nn
        from litify import Trainer

        class Net(nn.Module):
            pass

        net = Net()
        settings = load()
        Trainer().fit(net)
        torch.save({what}, "x.pt")
        """
        assert codes_of(text.format(what="net")) == ["LIT703"]
        assert codes_of(text.format(what="net.state_dict()")) == []
        assert codes_of(text.format(what="settings")) == []
        assert (
            codes_of(text.format(what="net").replace("Trainer().fit(net)", "").replace("Trainer", "x")) == []
        )

    def test_callbacks_that_train(self):
        text = """
        from litify.callbacks import Callback

        class Watch(Callback):
            def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                {}
        """
        assert codes_of(text.format("self.optimizer.step()")) == ["LIT809"]
        assert codes_of(text.format("pl_module(batch).sum().backward()")) == []
        assert codes_of(text.format("self.profiler.step()")) == []
