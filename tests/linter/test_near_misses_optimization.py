"""Optimization, modes and loops: what looks like a finding and is none, beside what must be found."""

from __future__ import annotations

import textwrap

import pytest
from linting import in_module, in_step

INIT = "def __init__(self):\n    super().__init__()\n"
NN = "from torch import nn, optim\nfrom litify import LightningModule"


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

    def test_gradients_zeroed_in_the_step_because_the_hook_does_nothing(self):
        step = "def training_step(self, batch, batch_idx):\n    self.optimizer.zero_grad()\n    return self.loss(batch)"
        hook = "def {}(self, *args, **kwargs):\n    return\n\n"
        assert in_module(hook.format("optimizer_zero_grad") + step) == []
        assert in_module(hook.format("zero") + step) == ["LIT203"]

    def test_a_step_that_trains_through_another_method(self):
        step = "def training_step(self, batch, batch_idx):\n    self.outer(batch)\n\n"
        outer = "def outer(self, batch):\n    self.fast(batch)\n    {}"
        assert in_module(step + outer.format("self.optimizers().step()")) == ["LIT202"]
        assert in_module(step + outer.format("self.meter.step()")) == ["LIT802"]

    def test_a_step_that_only_raises(self):
        body = "def training_step(self, batch, batch_idx):\n    self.refuse()\n\ndef refuse(self):\n    {}"
        assert in_module(body.format("raise NotImplementedError('for predictions only')")) == []
        assert in_module(body.format("self.n = 3")) == ["LIT802"]

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

    def test_dropout_that_stays_on_for_sampling(self):
        assert in_step("if self.sampled:\n    self.train()\nelse:\n    self.eval()", "predict_step") == []
        assert in_step("if self.sampled:\n    self.eval()", "predict_step") == ["LIT301"]

    def test_a_prediction_that_users_call_themselves(self):
        step = "def {}(self, x, batch_idx{}):\n    self.eval()\n    x = x.to(self.device)\n    with torch.no_grad():\n        y = x"
        assert in_module(step.format("predict_step", "=0")) == []
        assert in_module(step.format("predict_step", "")) == ["LIT301", "LIT101", "LIT302"]
        assert in_module(step.format("predict_step", ", height, width, steps")) == []
        assert in_module(step.format("test_step", "=0")) == ["LIT301", "LIT101", "LIT302"]

    def test_a_pass_that_only_collects(self):
        body = (
            "def training_step(self, batch, batch_idx):\n    self.eval()\n    self.found.append(batch)\n\n{}"
        )
        assert in_module(body.format("def configure_optimizers(self):\n    return None")) == []
        assert in_module(body.format("def configure_optimizers(self):\n    return self.made")) == [
            "LIT802",
            "LIT301",
        ]

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

    def test_gradients_turned_on_and_off_again(self):
        body = "torch.set_grad_enabled({})\nself.adapt(batch)\ntorch.set_grad_enabled(False)"
        assert in_step(body.format("True"), "validation_step") == []
        assert in_step(body.format("False"), "validation_step") == ["LIT302", "LIT302"]


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
