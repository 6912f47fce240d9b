"""What looks like a finding and is none, and findings that take more than spelling to see."""

from __future__ import annotations

import pytest
from linting import codes_of, findings, in_module, in_step


@pytest.mark.parametrize(
    ("imports", "base"),
    [
        ("from litify import LightningModule", "LightningModule"),
        ("import litify", "litify.LightningModule"),
        ("from lightning import LightningModule as Base", "Base"),
        ("import lightning as L", "L.LightningModule"),
        ("import lightning.pytorch as pl", "pl.LightningModule"),
        ("from lightning.pytorch import LightningModule", "LightningModule"),
        ("from lightning.pytorch.core import LightningModule", "LightningModule"),
        ("import pytorch_lightning as pl", "pl.LightningModule"),
        ("from pytorch_lightning.core.lightning import LightningModule", "LightningModule"),
        ("from litify import *", "LightningModule"),
        ("import abc\nfrom litify import LightningModule", "LightningModule, abc.ABC"),
    ],
)
def test_every_way_to_name_the_base_class(imports, base):
    step = "def training_step(self, batch, batch_idx):\n    x = batch.cuda()\n    return self.loss(x)"
    found = in_module(step, imports, base)
    assert [code for code in found if code != "LIT906"] == [
        "LIT101"
    ]  # the module that is gone is another rule's


def test_a_class_inheriting_through_a_local_subclass_counts():
    text = """
    from litify import LightningModule

    class Base(LightningModule):
        pass

    class Middle(Base):
        pass

    class Lit(Middle):
        def training_step(self, batch, batch_idx):
            return self.loss(batch.cuda())
    """
    assert codes_of(text) == ["LIT101"]


def test_manual_optimization_is_inherited():
    text = """
    from litify import LightningModule

    class Base(LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

    class Lit(Base):
        def training_step(self, batch, batch_idx):
            self.optimizers().step()
    """
    assert codes_of(text) == []


def test_a_circle_of_base_classes_ends():
    assert codes_of("import litify\nclass A(B):\n    pass\nclass B(A):\n    pass\n") == []


@pytest.mark.parametrize("base", ["object", "nn.Module", "Trainer", "LightningModule"])
def test_plain_classes_are_left_alone(base):
    """Only Lightning's own LightningModule counts, not any class of that name."""
    text = f"""
    import torch
    from torch import nn
    from elsewhere import LightningModule, Trainer

    class Net({base}):
        def training_step(self, batch, batch_idx):
            print(batch.cuda().item())
    """
    assert codes_of(text) == []


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


class TestOptimization:
    MANUAL = """
    optimizer = self.optimizers()
    optimizer.zero_grad()
    loss = self.model(batch).mean()
    self.manual_backward(loss)
    torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)
    optimizer.step()
    self.model.train()
    self.history.append(loss.item())
    self.print(f"loss {loss.item()}")
    """

    def test_manual_optimization_is_the_users_own(self):
        assert in_step(self.MANUAL, manual=True) == []

    def test_the_same_under_automatic_optimization(self):
        body = self.MANUAL.replace("self.manual_backward(loss)", "loss.backward()")
        assert in_step(body) == ["LIT203", "LIT201", "LIT205", "LIT202", "LIT301", "LIT602"]

    @pytest.mark.parametrize(
        "setting",
        [
            "automatic_optimization = False",
            "automatic_optimization: bool = False",
            "@property\ndef automatic_optimization(self):\n    return False",
            "def setup(self, stage):\n    self.automatic_optimization = self.hparams.automatic",
        ],
    )
    def test_every_way_to_choose_manual_optimization(self, setting):
        step = "def training_step(self, batch, batch_idx):\n    self.optimizers().step()"
        assert in_module(f"{setting}\n\n{step}") == []

    def test_setting_it_true_changes_nothing(self):
        step = "def training_step(self, batch, batch_idx):\n    self.optimizers().step()\n    return batch"
        assert in_module(f"automatic_optimization = True\n\n{step}") == ["LIT202"]

    @pytest.mark.parametrize(
        ("call", "found"),
        [
            ("self.optimizers().step()", True),
            ("self.optimizers()[0].step()", True),
            ("opt_g.step()", True),
            ("self.trainer.optimizers[0].step()", True),
            ("self.scaler.step(self.optimizer)", True),
            ("self.env.step(action)", False),
            ("self.profiler.step()", False),
            ("self.adopted.step()", False),
        ],
    )
    def test_optimizer_step(self, call, found):
        assert in_step(call) == (["LIT202"] if found else [])

    def test_optimizers_unpacked(self):
        assert in_step("g, d = self.optimizers()\ng.step()") == ["LIT202"]

    def test_helper_called_from_another_hook_as_well(self):
        body = """
        def training_step(self, batch, batch_idx):
            return self.shared(batch)

        def {hook}(self, *unused):
            self.shared(None)

        def shared(self, batch):
            self.loss.backward()
            return self.loss
        """
        assert in_module(body.format(hook="on_train_batch_end")) == ["LIT201"]
        assert in_module(body.format(hook="on_fit_start")) == []

    @pytest.mark.parametrize(
        ("call", "found"),
        [
            ("loss.backward()", True),
            ("(loss / 2).backward(retain_graph=True)", True),
            ("self.criterion(batch).backward()", True),
            ("self.scaler.scale(loss).backward()", False),
            ("self.manual_backward(loss)", False),
            ("self.backward(loss)", False),
            ("self.hmm.backward(batch)", False),
        ],
    )
    def test_backward_under_manual_optimization(self, call, found):
        assert in_step(call, manual=True) == (["LIT204"] if found else [])

    def test_closure_is_part_of_the_step(self):
        body = """
        def closure():
            loss = self.loss(batch)
            loss.backward()
            return loss
        self.optimizers().step(closure=closure)
        """
        assert in_step(body, manual=True) == ["LIT204"]

    def test_a_hook_named_backward_may_call_backward(self):
        assert in_module("def backward(self, loss):\n    loss.backward(create_graph=True)") == []


class TestModes:
    @pytest.mark.parametrize("hook", ["validation_step", "test_step", "predict_step"])
    @pytest.mark.parametrize(
        "call", ["self.eval()", "self.model.eval()", "self.train()", "self.model.train(False)"]
    )
    def test_found_in_evaluation(self, hook, call):
        assert in_step(call, hook) == ["LIT301"]

    @pytest.mark.parametrize(
        "call", ["self.frame.eval('a + b')", "self.config.train", "evaluator.eval()", "self.model.eval"]
    )
    def test_other_things_called_eval(self, call):
        assert in_step(call, "validation_step") == []

    def test_frozen_teacher_in_training_step(self):
        assert in_step("self.teacher.eval()") == []
        assert in_step("self.model.train()") == ["LIT301"]

    def test_hooks_that_the_file_calls_by_hand(self):
        body = "def validation_step(self, batch, batch_idx):\n    self.eval()\n    with torch.no_grad():\n        pass\n\n"
        assert in_module(body) == ["LIT301", "LIT302"]
        assert (
            in_module(
                body + "def on_train_batch_start(self, batch, batch_idx):\n    self.validation_step(batch, 0)"
            )
            == []
        )

    def test_train_after_an_evaluation_by_hand(self):
        assert in_step("self.model.train()\nself.loss_of(self.teacher.eval())") == []

    def test_no_grad_in_training_step_is_the_users_choice(self):
        assert in_step("with torch.no_grad():\n    y = self.teacher(batch)") == []

    @pytest.mark.parametrize(
        ("context", "found"),
        [
            ("torch.no_grad()", True),
            ("torch.inference_mode()", True),
            ("torch.set_grad_enabled(False)", True),
            ("torch.set_grad_enabled(True)", False),
            ("torch.inference_mode(False)", False),
            ("torch.enable_grad()", False),
        ],
    )
    def test_contexts(self, context, found):
        assert in_step(f"with {context}:\n    pass", "validation_step") == (["LIT302"] if found else [])


class TestLogging:
    def test_print_in_plain_functions(self):
        text = """
        from litify import LightningModule, Trainer

        class Lit(LightningModule):
            def describe(self):
                print(self)

        def main():
            print("start")
            Trainer().fit(Lit())
        """
        assert codes_of(text) == []

    @pytest.mark.parametrize(
        "guarded",
        [
            "if self.trainer.is_global_zero:\n    print(1)",
            "if self.global_rank == 0 and batch_idx == 0:\n    print(1)",
            "print(1, file=self.log_file)",
            "self.print(1)",
        ],
    )
    def test_print_for_one_process(self, guarded):
        assert in_step(guarded) == []

    @pytest.mark.parametrize(
        ("expression", "found"),
        [
            ("loss.item()", 1),
            ("loss.detach().cpu()", 1),
            ("loss.detach().cpu().numpy().tolist()", 1),
            ('loss.to("cpu")', 1),
            ("torch.rand(1).item()", 0),
            ("batch.items()", 0),
            ("loss.item", 0),
            ("self.cache.get(item)", 0),
        ],
    )
    def test_host_sync(self, expression, found):
        assert in_step(f"x = {expression}") == ["LIT602"] * found

    @pytest.mark.parametrize(
        ("body", "found"),
        [
            ("self.meter.update(loss.item(), 3)", 0),
            ("n = round(loss.item())\nself.show(n)", 0),
            ("if loss.item() > 3:\n    pass", 0),
            ("while loss.item() > 3:\n    pass", 0),
            ("x = self.table[loss.item()]", 0),
            ("text = f'{loss.item()}'", 0),
            ("plot(loss.data.numpy())", 0),
            ("self.print(loss.item())", 0),
            ("self.total += loss.item() * 3", 1),
            ("self.all.append(float(loss.item()))", 1),
            ("n = loss.item()\nself.log('n', n)", 1),
            ("self.log_dict({'n': loss.item()})", 1),
            ("self.x = loss.detach().cpu()", 1),
        ],
    )
    def test_host_sync_by_what_becomes_of_it(self, body, found):
        assert in_step(body) == ["LIT602"] * found

    def test_host_sync_elsewhere(self):
        assert in_step("x = batch.mean().item()", "validation_step") == []
        assert in_step("x = batch.mean().item()", manual=True) == []

    def test_own_log_method(self):
        body = "def log(self, x):\n    pass\n\ndef setup(self, stage):\n    self.log(stage)"
        assert in_module(body) == []


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


class TestDistributedAndData:
    def test_raw_scripts_may_do_it_by_hand(self):
        text = """
        import torch.distributed as dist
        from torch.nn.parallel import DistributedDataParallel
        from torch.utils.data.distributed import DistributedSampler

        dist.init_process_group("gloo")
        model = DistributedDataParallel(model)
        sampler = DistributedSampler(data)
        weights = torch.load("x.pt")
        """
        assert codes_of(text) == []

    def test_strategies_may_do_it_by_hand(self):
        text = """
        import torch
        from lightning.pytorch import Trainer
        from lightning.pytorch.strategies import DDPStrategy

        class Mine(DDPStrategy):
            def setup_distributed(self):
                torch.distributed.init_process_group("gloo")

        Trainer(strategy=Mine())
        """
        assert codes_of(text) == []

    def test_fsdp_in_configure_model(self):
        imports = "from litify import LightningModule\nfrom torch.distributed.fsdp import FullyShardedDataParallel as FSDP"
        assert in_module("def configure_model(self):\n    self.net = FSDP(self.net)", imports) == []
        assert in_module("def setup(self, stage):\n    self.net = FSDP(self.net)", imports) == ["LIT401"]

    def test_sampler_where_the_trainers_own_is_switched_off(self):
        text = """
        from litify import Trainer
        from torch.utils.data import DistributedSampler

        sampler = DistributedSampler(data)
        trainer = Trainer(use_distributed_sampler=False)
        """
        assert codes_of(text) == []
        assert codes_of(text.replace("use_distributed_sampler=False", "")) == ["LIT403"]

    def test_local_variable_in_prepare_data(self):
        assert in_module("def prepare_data(self):\n    path = self.root / 'x'\n    path.mkdir()") == []
        both = "def prepare_data(self):\n    self.a, b = 1, 2\n    self.c += 1\n\n"
        assert in_module(both + "def setup(self, stage):\n    self.use(self.a, self.c)") == [
            "LIT501",
            "LIT501",
        ]
        assert (
            in_module(both + "def __init__(self):\n    super().__init__()\n    self.use(self.a, self.c)")
            == []
        )

    def test_a_loader_of_another_kind_in_init(self):
        body = "def __init__(self):\n    super().__init__()\n    self.loader = yaml.SafeLoader()"
        assert in_module(body, "from litify import LightningModule\nimport yaml") == []


class TestRawTrainingLoop:
    STEP = "loss = model(x)\n{0}loss.backward()\n{0}optimizer.step()"

    @pytest.mark.parametrize(
        "text",
        [
            "while True:\n    loss.backward()\n    optimizer.step()\n",
            "for x in data:\n    scaler.scale(loss).backward()\n    scaler.step(optimizer)\n",
            "def train():\n    for x in data:\n        loss.backward()\n        opt.step()\n",
            "def closure():\n    loss.backward()\nfor x in data:\n    optimizer.step(closure)\n",
            "def update():\n    loss.backward()\n    optimizer.step()\nfor x in data:\n    update()\n",
            "def back():\n    loss.backward()\ndef update():\n    back()\n    optimizer.step()\nfor x in data:\n    update()\n",
            "for x in data:\n    loss.backward()\n    with torch.no_grad():\n        w -= lr * w.grad\n",
            "for x in data:\n    loss.backward()\n    for p in model.parameters():\n        p.data.add_(p.grad, alpha=-lr)\n",
        ],
    )
    def test_found_once(self, text):
        assert codes_of("import torch\n" + text) == ["LIT901"]

    @pytest.mark.parametrize(
        "text",
        [
            "for x in data:\n    env.step(action)\n",
            "for x in data:\n    loss.backward()\n    print(x.grad)\n",
            "loss.backward()\noptimizer.step()\n",
            "for x in data:\n    optimizer.step()\nfor x in data:\n    loss.backward()\n",
            "class F(torch.autograd.Function):\n    def backward(ctx, g):\n        for x in g:\n            opt.step()\n",
            "from accelerate import Accelerator\nfor x in data:\n    accelerator.backward(loss)\n    optimizer.step()\n",
            "from lightning import Fabric\nfor x in data:\n    fabric.backward(loss)\n    optimizer.step()\n",
        ],
    )
    def test_not_found(self, text):
        assert codes_of("import torch\n" + text) == []

    def test_the_loop_in_the_function_is_reported_not_the_one_around_its_call(self):
        text = """
        import torch

        def train(epoch):
            for x in data:
                loss.backward()
                optimizer.step()

        for epoch in range(3):
            train(epoch)
        """
        found = findings(text)
        assert [(f.line, f.column, f.end_line) for f in found] == [(5, 5, 5)]

    def test_functions_that_call_each_other_end(self):
        text = "import torch\ndef a():\n    b()\ndef b():\n    a()\n    x.backward()\nfor _ in y:\n    a()\n"
        assert codes_of(text) == []


class TestTrainerArguments:
    def test_litify_takes_the_classic_ones(self):
        assert codes_of("from litify import Trainer\nTrainer(gpus=2, max_nb_epochs=3)\n") == []
        assert codes_of("from lightning import Trainer\nTrainer(gpus=2, tpu_cores=8)\n") == [
            "LIT902",
            "LIT902",
        ]
        assert codes_of("from transformers import Trainer\nimport lightning\nTrainer(gpus=2)\n") == []
