"""The shape of a module: what looks like a finding and is none, beside what must be found."""

from __future__ import annotations

import textwrap

import pytest
from linting import codes_of, findings, in_module

INIT = "def __init__(self):\n    super().__init__()\n"
TRAINED = """\
def training_step(self, batch, batch_idx):
    return self.loss(batch)

def configure_optimizers(self):
    return self.make_optimizer()
"""


class TestShape:
    @pytest.mark.parametrize(
        ("name", "hook"),
        [
            ("trainig_step", "training_step"),
            ("validaton_step", "validation_step"),
            ("configure_optimizer", "configure_optimizers"),
            ("train_dataloaders", "train_dataloader"),
            ("on_train_epoch_ends", "on_train_epoch_end"),
            ("val_step", "validation_step"),
            ("prepare_dat", "prepare_data"),
        ],
    )
    def test_misspelt(self, name, hook):
        text = f"from litify import LightningModule\nclass Lit(LightningModule):\n    def {name}(self, x):\n        return x\n"
        found = findings(text)
        assert [f.code for f in found] == ["LIT803"]
        assert f"did you mean `{hook}`" in found[0].message
        assert (found[0].line, found[0].column, found[0].end_column) == (3, 9, 9 + len(name))

    @pytest.mark.parametrize(
        "name", ["set_up", "step", "trainer_step", "test", "_trainig_step", "configure", "on_start"]
    )
    def test_not_misspelt(self, name):
        assert in_module(f"def {name}(self, x):\n    return x") == []

    def test_step_without_loss_on_some_path_only(self):
        assert (
            in_module(
                "def training_step(self, batch, batch_idx):\n    if batch is not None:\n        return batch"
            )
            == []
        )

    @pytest.mark.parametrize(
        "body", ["pass", "...", "'''Says what.'''", "raise NotImplementedError", "x = 1\n    raise X(x)"]
    )
    def test_step_that_is_a_stub(self, body):
        assert in_module(f"def training_step(self, batch, batch_idx):\n    {body}") == []

    def test_return_in_a_nested_function_is_not_the_steps(self):
        body = "def training_step(self, batch, batch_idx):\n    def f():\n        return 1\n    self.log('x', f())"
        assert in_module(body) == ["LIT802"]

    def test_classic_hooks_of_litify_itself(self):
        assert in_module("def validation_epoch_end(self, outputs):\n    pass") == ["LIT804"]
        also = "def validation_epoch_end(self, outputs):\n    pass\n\ndef {}(self, outputs):\n    self.validation_epoch_end(outputs)"
        assert in_module(also.format("test_epoch_end")) == ["LIT804", "LIT804"]
        assert in_module(also.format("summarize")) == []

    def test_removed_hook_of_a_callback(self):
        text = "from lightning.pytorch import Callback\nclass C(Callback):\n    def {}(self, trainer, module):\n        pass\n"
        assert codes_of(text.format("on_epoch_end")) == ["LIT804"]
        assert codes_of(text.format("on_train_epoch_end")) == []

    @pytest.mark.parametrize(
        ("signature", "found"),
        [
            ("training_step(self, batch, batch_idx, optimizer_idx)", True),
            ("training_step(self, batch, batch_idx, *, mode)", True),
            ("training_step(self)", True),
            ("training_step(self, batch, batch_idx, optimizer_idx=0)", False),
            ("training_step(self, *args, **kwargs)", False),
            ("training_step(self, dataloader_iter)", False),
            ("on_train_epoch_end(self, outputs)", True),
            ("on_train_batch_start(self, batch, batch_idx, dataloader_idx)", True),
            ("on_validation_batch_start(self, batch, batch_idx, dataloader_idx)", False),
            ("optimizer_step(self, epoch, batch_idx, optimizer, optimizer_idx, closure)", True),
        ],
    )
    def test_signatures(self, signature, found):
        assert in_module(f"def {signature}:\n    return 1") == (["LIT806"] if found else [])

    def test_plain_list_of_losses(self):
        body = "def __init__(self):\n    super().__init__()\n    self.losses = [torch.nn.L1Loss(), torch.nn.BCELoss()]"
        assert in_module(body) == []


class TestConstructors:
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
        body = f"def __init__(self, {arguments}):\n    super().__init__()\n\n"
        assert in_module(body + TRAINED) == found
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
            ("predict_step(self, batch, batch_idx, rolls, ids)", []),
            ("test_step(self, batch, batch_idx, dataloader_idx, ids)", ["LIT806"]),
        ],
    )
    def test_signatures(self, signature, found):
        assert in_module(f"def {signature}:\n    self.x = 3") == found

    def test_signatures_of_data_modules(self):
        text = "from litify import LightningDataModule\n\n\nclass D(LightningDataModule):\n    def setup(self{}):\n        pass\n"
        assert codes_of(text.format("")) == ["LIT806"]
        assert codes_of(text.format(", stage")) == []

    def test_hyperparameters_of_a_base_that_trains_nothing(self):
        """Whoever inherits from it saves them, or never makes a checkpoint."""
        body = "def __init__(self, lr: float = 0.1):\n    super().__init__()\n    self.lr = lr\n\n"
        assert in_module(body + "def validation_step(self, batch, batch_idx):\n    pass") == []
        assert (
            in_module(body + "def training_step(self, batch, batch_idx):\n    return self.loss(batch)") == []
        )
        assert in_module(body + TRAINED) == ["LIT808"]

    def test_hyperparameters_where_a_loop_of_ones_own_drives_the_hooks(self):
        body = "def __init__(self, width: int):\n    super().__init__()\n\n"
        assert (
            in_module(body + TRAINED.replace("configure_optimizers(self)", "configure_optimizers(self, lr)"))
            == []
        )

    def test_only_what_the_hook_does_not_know_is_to_go(self):
        step = "def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_idx, optimizer_closure, on_tpu):\n    pass"
        text = f"from litify import LightningModule\n\n\nclass Lit(LightningModule):\n{textwrap.indent(step, '    ')}\n"
        (found,) = findings(text)
        assert found.message.endswith("remove `optimizer_idx`, `on_tpu`")
