"""Training loops by hand and calls of the Trainer: what looks like a finding and is none, beside what must be found."""

from __future__ import annotations

import pytest
from linting import codes_of, findings

from litify_linter.check import check_source
from litify_linter.config import Settings


def trainer(arguments: str, package: str = "litify") -> list[str]:
    return codes_of(f"from {package} import Trainer\ntrainer = Trainer({arguments})\n")


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

    def test_backward_over_several_machines(self):
        """What torch.distributed.rpc trains lives in other processes, its gradients in a context no Trainer knows."""
        text = """
        import torch
        import torch.distributed.autograd as dist_autograd
        import torch.distributed.rpc as rpc
        from torch.distributed.optim import DistributedOptimizer

        optimizer = DistributedOptimizer(torch.optim.SGD, references, lr=0.05)
        for data, target in batches:
            with dist_autograd.context() as context:
                dist_autograd.backward(context, [criterion(model(data), target)])
                optimizer.step(context)
        """
        assert codes_of(text) == []

    def test_gradients_read_for_other_ends(self):
        """The backward pass of a reversible network, a saliency map, the norm of a gradient."""
        text = "import torch\nfor x, y in pairs:\n    y.backward(dy)\n    {}\n"
        assert codes_of(text.format("dx = dy + x.grad")) == []
        assert codes_of(text.format("total += x.grad.norm()")) == []
        assert codes_of(text.format("sums.add_(x.grad)")) == []
        assert codes_of(text.format("x.data -= 0.1 * x.grad.data")) == ["LIT901"]
        assert codes_of(text.format("x = x - 0.1 * x.grad")) == ["LIT901"]
        assert codes_of(text.format("x.data.add_(x.grad, alpha=-0.1)")) == ["LIT901"]
        assert codes_of(text.format("self.w[i] -= 0.1 * self.w[i].grad")) == ["LIT901"]

    @pytest.mark.parametrize(
        ("optimizer", "found"),
        [
            ("torch.optim.Adam([image], lr=0.1)", []),
            ("torch.optim.LBFGS([image.requires_grad_()])", []),
            ("torch.optim.SGD(params=[image], lr=0.1)", []),
            ("AdamUniform([image], lr=0.1)", []),
            ("AdamUniform(model.parameters(), lr=0.1)", ["LIT901"]),
            ("torch.optim.SGD([w, b], lr=0.1)", ["LIT901"]),
            ("torch.optim.SGD([*model.parameters()], lr=0.1)", ["LIT901"]),
            ("torch.optim.SGD([{'params': model.parameters()}], lr=0.1)", ["LIT901"]),
        ],
    )
    def test_what_changes_is_an_input(self, optimizer, found):
        text = f"import torch\noptimizer = {optimizer}\nfor i in range(9):\n    loss.backward()\n    optimizer.step()\n"
        assert codes_of(text) == found

    def test_one_input_and_one_model_in_a_file(self):
        text = """
        import torch

        def dream(image):
            optimizer = torch.optim.Adam([image])
            for i in range(9):
                model(image).backward()
                optimizer.step()

        def train(model):
            optimizer = torch.optim.Adam(model.parameters())
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
            for x in loader:
                model(x).backward()
                optimizer.step()
        """
        assert [f.line for f in findings(text)] == [13]

    @pytest.mark.parametrize(
        ("loop", "found"),
        [
            ("for x in self.train_loader:", True),
            ("for i, x in enumerate(tqdm(loader)):", True),
            ("for i in range(0, len(x), 32):", True),
            ("while True:\n            x = next(batches)", True),
            ("for i in range(self.steps):\n            x = self.get_batch()", True),
            ("for i in range(self.epochs):", False),
            ("for model in self.ensemble:", False),
            ("for i in trange(self.training_samples):\n            x = self.sample()", False),
        ],
    )
    def test_methods_train_when_they_take_batches(self, loop, found):
        step = "            loss.backward()\n            optimizer.step()\n"
        method = f"import torch\nclass Fitted:\n    def fit(self):\n        {loop}\n{step}"
        assert codes_of(method) == ["LIT901"] * found
        function = f"import torch\ndef fit(self):\n        {loop}\n{step}"
        assert codes_of(function) == ["LIT901"] * ("model" not in loop)

    def test_a_loop_that_drives_the_step_of_a_module(self):
        text = "import torch\nfor x in data:\n    loss = model.{}(x, 0)\n    loss.backward()\n    optimizer.step()\n"
        assert codes_of(text.format("training_step")) == []
        assert codes_of(text.format("step")) == ["LIT901"]

    def test_a_loop_made_for_a_library_to_call(self):
        text = """
        import torch

        def train(model, optimizer, {}):
            for x in loader:
                training_step(x, model).backward()
                optimizer.step()
        """
        assert codes_of(text.format("training_step")) == []
        assert codes_of(text.format("epochs")) == ["LIT901"]

    def test_methods_named_like_those_of_lists(self):
        text = """
        import torch

        class Population:
            def {0}(self, x):
                self.loss(x).backward()
                self.optimizer.step()

        def learn(data, found):
            for x in data:
                found.{0}(x)
        """
        assert codes_of(text.format("append")) == []
        assert codes_of(text.format("train_on")) == ["LIT901"]

    def test_a_loop_in_a_file_of_tests(self):
        text = """
        import torch
        import {}

        def train_a_little(model):
            for epoch in range(100):
                optimizer.zero_grad()
                model(x).sum().backward()
                optimizer.step()
        """
        assert codes_of(text.format("unittest")) == codes_of(text.format("pytest")) == []
        assert codes_of(text.format("time")) == ["LIT901"]

    def test_a_file_of_tests_without_an_import_that_says_so(self):
        loop = "import torch\ndef fit(model):\n    for x in loader:\n        model(x).backward()\n        sgd.step()\n"
        tests = "def test_sanity():\n    fit(3)\n\ndef test_resume():\n    fit(4)\n"
        assert codes_of(loop + tests) == []
        assert codes_of(loop + tests.replace("resume()", "resume(model)")) == ["LIT901"]

    @pytest.mark.parametrize(
        ("path", "found"),
        [
            ("src/train.py", True),
            ("tests/models/train.py", True),
            ("latest/train.py", True),
            ("attested.py", True),
            ("tests/train.py", False),
            ("models/test_train.py", False),
            ("benchmarks/step.py", False),
            ("bench_step.py", False),
            ("step_benchmark.py", False),
            ("profiler.py", False),
        ],
    )
    def test_where_loops_are_the_subject(self, path, found):
        text = b"import torch\nfor x in data:\n    loss.backward()\n    optimizer.step()\n"
        checked = check_source(text, path, Settings())
        assert [f.code for f in checked.findings] == ["LIT901"] * found

    def test_a_loop_in_a_test(self):
        """Training a few steps to see that a layer learns is the subject there."""
        text = """
        import torch

        def {}():
            for epoch in range(100):
                optimizer.zero_grad()
                model(x).sum().backward()
                optimizer.step()
        """
        assert codes_of(text.format("test_layer_learns")) == []
        assert codes_of(text.format("train")) == ["LIT901"]


class TestTrainerArguments:
    def test_litify_takes_the_classic_ones(self):
        assert codes_of("from litify import Trainer\nTrainer(gpus=2, max_nb_epochs=3)\n") == []
        assert codes_of("from lightning import Trainer\nTrainer(gpus=2, tpu_cores=8)\n") == [
            "LIT902",
            "LIT902",
        ]
        assert codes_of("from transformers import Trainer\nimport lightning\nTrainer(gpus=2)\n") == []


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
            ("from pytorch_lightning.logging.test_tube import TestTubeLogger", ["LIT906"]),
            ("from pytorch_lightning.logging.comet import CometLogger", ["LIT906"]),
            ("from pytorch_lightning.root_module.root_module import LightningModule", ["LIT906"]),
            ("from pytorch_lightning import logging", []),
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

    @pytest.mark.parametrize(
        ("use", "found"),
        [
            ("pl.metrics.Accuracy()", ["LIT906"]),
            ("pl.data_loader", ["LIT906"]),
            ("pl.logging.getLogger('x')", []),
            ("pl.callbacks.Callback", []),
            ("pl.metrics_of_ours.x", []),
            ("self.metrics.Accuracy()", []),
        ],
    )
    def test_uses_of_what_is_gone(self, use, found):
        assert codes_of(f"import pytorch_lightning as pl\n{use}\n") == found

    def test_what_is_gone_is_reported_once(self):
        assert codes_of("import pytorch_lightning.metrics\npytorch_lightning.metrics.Accuracy()\n") == [
            "LIT906"
        ]
        assert codes_of("from pytorch_lightning import metrics\nmetrics.Accuracy()\n") == ["LIT906"]

    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("Trainer.from_argparse_args(args)", True),
            ("Trainer().tune(module)", True),
            ("trainer.tune(module)", True),
            ("trainer.fit(module)", False),
            ("other.tune(module)", False),
            ("trainer.gpus = 3", False),
            ("x = trainer.gpus if old else 1", False),
        ],
    )
    def test_attributes_of_the_trainer(self, line, found):
        text = f"from lightning import Trainer\ntrainer = Trainer()\n{line}\n"
        assert codes_of(text) == (["LIT907"] if found else [])
        assert codes_of(text.replace("lightning", "litify")) == []

    def test_attributes_of_the_trainer_in_a_callback(self):
        text = """
        from lightning.pytorch.callbacks import Callback

        class Watch(Callback):
            def on_fit_start(self, trainer, pl_module):
                print(trainer.root_gpu, pl_module.gpus)

        def report(trainer):
            print(trainer.root_gpu)
        """
        assert codes_of(text) == ["LIT907"]

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

    def test_what_is_meant_to_fail(self):
        text = """
        import pytest
        from lightning import Trainer

        def test_arguments():
            with {}:
                Trainer(gpus=2)
        """
        assert codes_of(text.format("pytest.raises(TypeError, match='gpus')")) == []
        assert codes_of(text.format("self.assertRaises(TypeError)")) == []
        assert codes_of(text.format("capture()")) == ["LIT902"]

    def test_what_a_checkpoint_callback_becomes(self):
        (found,) = findings("from lightning import Trainer\nTrainer(checkpoint_callback=saver)\n")
        assert "callbacks=[...]" in found.message and found.fix is None
        (found,) = findings("from lightning import Trainer\nTrainer(checkpoint_callback=False)\n")
        assert "enable_checkpointing=" in found.message and found.fix is not None

    def test_callbacks_that_train_something_of_their_own(self):
        text = """
        import torch
        from litify.callbacks import Callback

        class Probe(Callback):
            def __init__(self):
                self.optimizer: torch.optim.Optimizer | None = None

            def on_fit_start(self, trainer, pl_module):
                self.probe = pl_module.probe = self.make_probe()
                self.optimizer = torch.optim.Adam({}.parameters())

            def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                self.optimizer.step()
        """
        assert codes_of(text.format("self.probe")) == []
        assert codes_of(text.format("pl_module.probe")) == []
        assert codes_of(text.format("pl_module")) == ["LIT809"]
        assert codes_of(text.format("pl_module.net")) == ["LIT809"]
