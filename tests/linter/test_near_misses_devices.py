"""Devices and precision: what looks like a finding and is none, beside what takes more than spelling to see."""

from __future__ import annotations

import textwrap

import pytest
from linting import codes_of, findings, in_module, in_step

INIT = "def __init__(self):\n    super().__init__()\n"
NN = "from torch import nn, optim\nfrom litify import LightningModule"


class TestDeviceMove:
    @pytest.mark.parametrize(
        "move",
        [
            "batch.cuda()",
            "batch[0].cuda(non_blocking=True)",
            'batch.to("cuda")',
            'batch.to("cuda:1", non_blocking=True)',
            "batch.to(device=torch.device('mps'))",
            "batch.to(self.device)",
            "batch['x'].float().to(self.device)",
            "batch.to(device)",
            "batch.to(self.hparams.device)",
            "torch.zeros(3).cuda()",
        ],
    )
    def test_found(self, move):
        assert in_step(f"x = {move}") == ["LIT101"]

    @pytest.mark.parametrize(
        "move",
        [
            "batch.to(torch.float16)",
            "batch.to(x.device)",
            "torch.zeros(3).to(self.device)",
            "torch.zeros(len(batch)).to(self.device)",
            "batch.to(other)",
            "self.table.cuda",
            "torch.cuda.synchronize()",
        ],
    )
    def test_not_found(self, move):
        assert in_step(f"x = {move}") == []

    def test_name_holding_a_device(self):
        assert in_step("where = 'cuda:0' if torch.cuda.is_available() else 'cpu'\nx = batch.to(where)") == [
            "LIT101"
        ]
        assert in_step("device = batch.device\nx = torch.ones(3).to(device)") == []
        assert in_step("x, y = batch\nx = x.view(2)\nx = x.to(self.device)") == ["LIT101"]

    def test_submodule_in_the_constructor(self):
        body = "def __init__(self, device):\n    super().__init__()\n    self.net = torch.nn.Linear(1, 1)\n    self.net.{}"
        assert in_module(body.format("cuda()")) == ["LIT101"]
        assert in_module(body.format("to(device)")) == ["LIT101"]
        assert in_module(body.format("to(torch.float64)")) == []

    def test_hooks_made_for_moving(self):
        body = "def transfer_batch_to_device(self, batch, device, dataloader_idx):\n    return batch.x.to(device)"
        assert in_module(body) == []

    def test_object_of_an_unrelated_library(self):
        text = """
        from game import Player, Backbone
        from litify import LightningModule

        class Lit(LightningModule):
            def __init__(self):
                super().__init__()
                self.player = Player()
                self.backbone = Backbone()
                self.player.cuda()
                self.backbone.cuda()

            def forward(self, x):
                return self.backbone(x)
        """
        assert [f.line for f in findings(text)] == [11]

    def test_a_pipeline_is_no_module(self):
        text = """
        from diffusers import {0}
        from litify import LightningModule

        class Lit(LightningModule):
            def __init__(self):
                super().__init__()
                self.drawn = {0}.from_pretrained("x")

            def on_fit_start(self):
                self.drawn.to("cuda")
                self.drawn(1)
        """
        assert codes_of(text.format("DiffusionPipeline")) == []
        assert codes_of(text.format("UNet2DModel")) == ["LIT101"]

    def test_own_evaluation_with_a_loader_of_its_own(self):
        body = """
        def on_train_epoch_end(self):
            self.evaluate()

        def evaluate(self):
            self.model.eval()
            with torch.no_grad():
                for x, y in self.loader:
                    self.total += self.model(x.to(self.device)).sum().item()
            print(self.total)
        """
        assert in_module(body) == []

    @pytest.mark.parametrize(
        "body",
        [
            "batch = next(dataloader_iter)\nx = batch['x'].cuda()",
            "batch, index, _ = next(dataloader_iter)\nx, y = batch\nx = x.cuda()",
            "batch = self.get_batch(dataloader_iter)\nbatch = {k: v.cuda() for k, v in batch.items()}",
            "for x, y in tqdm(self.loaders['val']):\n    x = x.cuda()",
            "for i, x in enumerate(self.loader):\n    x = x.float().cuda()",
        ],
    )
    def test_batches_that_nobody_has_moved(self, body):
        step = f"def training_step(self, dataloader_iter):\n{textwrap.indent(body, '    ')}\n    return self.loss(x)"
        assert in_module(step) == []

    @pytest.mark.parametrize(
        "body", ["for x in batch:\n    x = x.cuda()", "for i in range(3):\n    x = torch.zeros(i).cuda()"]
    )
    def test_loops_over_what_the_trainer_moves(self, body):
        assert in_step(body) == ["LIT101"]

    def test_parts_of_the_batch_in_a_comprehension(self):
        assert in_step("views = [view.to(self.device) for view in batch[0]]") == ["LIT101"]
        assert in_step("views = [view.to(self.device) for view in self.make_views()]") == []

    def test_the_batch_in_a_method_that_the_step_calls(self):
        body = """
        def prepare(self, x, mask):
            return x.to(self.device), mask.to(self.device)

        def training_step(self, batch, batch_idx):
            return self.loss(self.prepare(batch["x"], self.make_mask()))
        """
        assert in_module(body) == ["LIT101"]
        also = "\ndef test_step(self, batch, batch_idx):\n    self.prepare(self.samples, batch)"
        assert in_module(textwrap.dedent(body) + also) == []

    def test_methods_that_only_hooks_call(self):
        body = "def noise(self):\n    return torch.zeros(3).cuda()\n\ndef {}:\n    return self.noise()"
        assert in_module(body.format("test_step(self, batch, batch_idx)")) == ["LIT101"]
        assert in_module(body.format("on_load_checkpoint(self, checkpoint)")) == []


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

    def test_half_of_a_module_when_the_user_says_so(self):
        body = (
            INIT + "    {}\n\ndef to_dtype(self, dtype):\n    if dtype == torch.float16:\n        self.half()"
        )
        assert in_module(body.format("pass"), NN) == []
        assert in_module(body.format("self.to_dtype(torch.float16)"), NN) == ["LIT104"]

    def test_other_variables_of_the_environment(self):
        text = "import os\nfrom litify import Trainer\nos.environ['{}'] = '1'\nTrainer()\n"
        assert codes_of(text.format("OMP_NUM_THREADS")) == []
        assert codes_of(text.format("CUDA_VISIBLE_DEVICES")) == ["LIT105"]
        assert codes_of(text.format("CUDA_VISIBLE_DEVICES").replace("Trainer", "LightningModule")) == []

    @pytest.mark.parametrize(
        "call", ["cuda.set_device", "accelerator.set_device_index", "xpu.set_device", "mtia.empty_cache"]
    )
    def test_devices_set_by_hand(self, call):
        text = f"import torch\nfrom litify import Trainer\ntorch.{call}(3)\nTrainer()\n"
        assert codes_of(text) == ([] if "empty" in call else ["LIT105"])

    @pytest.mark.parametrize(
        ("body", "found"),
        [
            ("self.net = self.net.cuda()", ["LIT102"]),
            ("batch['x'].cuda(non_blocking=True)", ["LIT102"]),
            ("self.net.to(pl_module.device)", []),
            ("self.net.cuda(self.gpu)", []),
            ("torch.cuda.synchronize()", []),
        ],
    )
    def test_moves_in_callbacks(self, body, found):
        hook = f"def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):\n    {body}"
        assert in_module(hook, "from litify import Callback", "Callback") == found
        assert in_module(f"def __init__(self):\n    {body}", "from litify import Callback", "Callback") == []

    @pytest.mark.parametrize(
        ("precision", "found"),
        [
            ("", 1),
            ("enabled=True", 1),
            ("enabled=False", 0),
            ("enabled=self.on", 1),
            ("enabled=epoch > 3", 0),
        ],
    )
    def test_precision_in_a_step(self, precision, found):
        body = f"with torch.cuda.amp.autocast({precision}):\n    x = self.model(batch)"
        assert in_step(body) == ["LIT103"] * found

    def test_synchronized_batch_norms(self):
        convert = "self.net = torch.nn.SyncBatchNorm.convert_sync_batchnorm({})"
        assert in_module(INIT + "    " + convert.format("self.net")) == ["LIT401"]
        assert in_module(INIT + "    " + convert.format("self.net, process_group=self.group")) == []
        assert in_module("def configure_model(self):\n    " + convert.format("self.net")) == []

    def test_what_launchers_say(self):
        text = "import os\nfrom litify import LightningModule"
        hook = "def setup(self, stage):\n    {}"
        assert in_module(hook.format("x = int(os.environ['LOCAL_RANK'])"), text) == ["LIT404"]
        assert in_module(hook.format("x = os.environ['WORLD_SIZE']"), text) == ["LIT404"]
        assert in_module(hook.format("x = os.environ['DATA']"), text) == []
        assert in_module(hook.format("os.environ['RANK'] = '0'"), text) == []
        assert in_module(hook.format("x = os.environ.get('LOCAL_RANK', 0)"), text) == []
        assert (
            in_module("def __init__(self):\n    super().__init__()\n    x = os.environ['RANK']", text) == []
        )

    def test_the_device_that_the_trainer_has_chosen(self):
        text = "def {}(self, trainer):\n    super().__init__()\n    torch.cuda.set_device({})"
        assert in_module(text.format("__init__", "trainer.local_rank")) == []
        assert in_module(text.format("__init__", "self.gpu")) == ["LIT105"]

    def test_devices_that_the_environment_names(self):
        text = "import os\nfrom litify import Trainer\nos.environ['CUDA_VISIBLE_DEVICES'] = {}\nTrainer()\n"
        assert codes_of(text.format("os.environ['GPUS']")) == []
        assert codes_of(text.format("args.gpus")) == ["LIT105"]

    def test_groups_for_something_else(self):
        call = "dist.init_process_group('gloo', rank=0, world_size={})"
        lightning = "import torch.distributed as dist\nfrom litify import LightningModule, Trainer\n{}\n"
        assert codes_of(lightning.format(f"Trainer()\n{call.format(2)}")) == ["LIT402"]
        assert codes_of(lightning.format(f"Trainer()\n{call.format(1)}")) == []
        alone = f"def convert():\n    size = 1\n    {call.format('size')}\nTrainer()"
        assert codes_of(lightning.format(alone)) == []
        tool = f"class Lit(LightningModule): ...\ndef build(n):\n    {call.format('n')}"
        assert codes_of(lightning.format(tool)) == []

    def test_a_flush_after_an_error(self):
        body = "try:\n    self.model(batch)\n{}:\n    torch.cuda.empty_cache()"
        assert in_step(body.format("except RuntimeError")) == []
        assert in_step(body.format("finally")) == ["LIT106"]

    def test_a_flush_each_epoch(self):
        imports = "import gc\nfrom litify import LightningModule"
        assert in_module("def on_train_epoch_end(self):\n    gc.collect()", imports) == []
        assert in_module(
            "def on_train_batch_end(self, outputs, batch, batch_idx):\n    gc.collect()", imports
        ) == ["LIT106"]
        assert in_step("if self.global_step % 100 == 0:\n    torch.cuda.empty_cache()") == []
