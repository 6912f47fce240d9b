"""Fixes: what they make of a text, what they leave as it is, and that a second run finds nothing to do."""

from __future__ import annotations

import ast
import io
import textwrap
import tokenize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litify_linter.config import Settings
from litify_linter.fix import difference, fix_source
from litify_linter.rules import all_rules

ALL = Settings()
HEAD = (
    "import torch\nfrom torch import nn, optim\nfrom litify import LightningModule, LightningDataModule\n\n\n"
)


def fixed(text: str, unsafe: bool = True) -> str:
    """The text after all fixes; it parses, and fixing it again changes nothing."""
    result = fix_source(text.encode(), "x.py", ALL, unsafe)
    ast.parse(result.data)
    again = fix_source(result.data, "x.py", ALL, unsafe)
    assert again.data == result.data and not again.counts
    return result.data.decode()


def in_class(body: str, base: str = "LightningModule") -> str:
    return HEAD + f"class Lit({base}):\n" + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n"


def check_fixed(before: str, after: str, base: str = "LightningModule", unsafe: bool = True) -> None:
    assert fixed(in_class(before, base), unsafe) == in_class(after, base)


def check_unchanged(text: str, base: str = "LightningModule", unsafe: bool = True) -> None:
    check_fixed(text, text, base, unsafe)


def comments(text: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


class TestDevices:
    def test_moves_of_the_batch_go(self):
        check_fixed(
            """
            def training_step(self, batch, batch_idx):
                x, y = batch
                x = x.cuda()
                x, y = x.to(self.device), y.to("cuda:1")
                x = x.cuda().float()  # kept
                y = (y[0]
                     .to("cuda", non_blocking=True))
                return self.loss(batch["z"].cuda().float(), x, y)
            """,
            """
            def training_step(self, batch, batch_idx):
                x, y = batch
                x = x.float()  # kept
                y = (y[0])
                return self.loss(batch["z"].float(), x, y)
            """,
        )

    def test_new_tensors_follow_the_module(self):
        check_fixed(
            """
            def training_step(self, batch, batch_idx):
                noise = torch.randn(len(batch), 16).cuda()
                mask = torch.ones(3, device="cuda:0")
                return self.loss(batch, noise, mask)
            """,
            """
            def training_step(self, batch, batch_idx):
                noise = torch.randn(len(batch), 16).to(self.device)
                mask = torch.ones(3, device=self.device)
                return self.loss(batch, noise, mask)
            """,
        )

    def test_submodules_in_the_constructor(self):
        check_fixed(
            """
            def __init__(self):
                super().__init__()
                self.net = nn.Linear(2, 1).cuda()
                self.weights = torch.ones(3).cuda()
                self.cuda()
            """,
            """
            def __init__(self):
                super().__init__()
                self.net = nn.Linear(2, 1)
                self.weights = torch.ones(3).cuda()
            """,
        )

    def test_a_move_that_is_a_cast_as_well_stays(self):
        check_unchanged("""
            def training_step(self, batch, batch_idx):
                return self.loss(batch.to("cuda", torch.float64))
            """)


class TestStatements:
    def test_under_automatic_optimization_they_go(self):
        check_fixed(
            """
            def training_step(self, batch, batch_idx):
                optimizer = self.optimizers()
                # forward
                loss = self.loss(batch)
                optimizer.zero_grad(); loss.backward()
                # the step
                optimizer.step()  # now

                return loss
            """,
            """
            def training_step(self, batch, batch_idx):
                optimizer = self.optimizers()
                # forward
                loss = self.loss(batch)
                # the step

                return loss
            """,
        )

    def test_safe_fixes_alone_leave_backward(self):
        check_fixed(
            """
            def training_step(self, batch, batch_idx):
                self.zero_grad()
                loss = self.loss(batch)
                loss.backward()
                return loss
            """,
            """
            def training_step(self, batch, batch_idx):
                loss = self.loss(batch)
                loss.backward()
                return loss
            """,
            unsafe=False,
        )

    def test_an_empty_block_gets_pass(self):
        check_fixed(
            """
            def on_validation_epoch_start(self):
                self.eval()

            def validation_step(self, batch, batch_idx):
                if batch_idx == 0:
                    self.model.eval()
                    self.model.eval()
                self.log("x", self.loss(batch)); self.model.eval()  # kept
            """,
            """
            def on_validation_epoch_start(self):
                pass

            def validation_step(self, batch, batch_idx):
                if batch_idx == 0:
                    pass
                self.log("x", self.loss(batch))  # kept
            """,
        )

    def test_a_switch_to_train_stays(self):
        check_unchanged("""
            def on_validation_end(self):
                self.train()
            """)

    def test_the_last_line_without_a_line_break(self):
        text = in_class(
            "def validation_step(self, batch, batch_idx):\n    self.log('x', 1)\n    self.eval()"
        ).rstrip("\n")
        assert fixed(text).endswith("self.log('x', 1)\n")


class TestGradContexts:
    def test_the_body_moves_out(self):
        check_fixed(
            '''
            def validation_step(self, batch, batch_idx):
                with torch.no_grad():  # no gradients
                    # forward
                    loss = self.loss(
                        batch,
                      # odd
                    )
                    text = """
                    kept as it is
                    """

                    if loss:
                        self.log("x", loss)
                # after
                self.log("y", 1)
            ''',
            '''
            def validation_step(self, batch, batch_idx):
                # no gradients
                # forward
                loss = self.loss(
                    batch,
                  # odd
                )
                text = """
                    kept as it is
                    """

                if loss:
                    self.log("x", loss)
                # after
                self.log("y", 1)
            ''',
        )

    def test_one_of_several_contexts(self):
        check_fixed(
            """
            def validation_step(self, batch, batch_idx):
                with torch.no_grad(), self.ema(), torch.inference_mode():
                    self.log("x", self.loss(batch))
            """,
            """
            def validation_step(self, batch, batch_idx):
                with self.ema():
                    self.log("x", self.loss(batch))
            """,
        )

    def test_on_one_line_as_decorator_and_as_statement(self):
        check_fixed(
            """
            @torch.no_grad()
            def validation_step(self, batch, batch_idx):
                with torch.no_grad(): self.log("x", self.loss(batch))
                torch.set_grad_enabled(False)
                return None
            """,
            """
            def validation_step(self, batch, batch_idx):
                self.log("x", self.loss(batch))
                return None
            """,
        )

    def test_a_header_over_several_lines(self):
        check_fixed(
            """
            def validation_step(self, batch, batch_idx):
                with (
                    torch.no_grad()
                ):
                    @self.trace
                    def inner():
                        return 3
                    inner()
            """,
            """
            def validation_step(self, batch, batch_idx):
                @self.trace
                def inner():
                    return 3
                inner()
            """,
        )

    def test_tabs(self):
        text = HEAD + "class Lit(LightningModule):\n\tdef test_step(self, batch, batch_idx):\n"
        text += "\t\twith torch.no_grad():\n\t\t\tself.log('x', 1)\n"
        assert fixed(text).endswith("batch_idx):\n\t\tself.log('x', 1)\n")


def test_manual_backward():
    check_fixed(
        """
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            (loss * 2).backward(retain_graph=True)
            self.manual_backward(loss)
        """,
        """
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            self.manual_backward(loss * 2, retain_graph=True)
            self.manual_backward(loss)
        """,
    )


def test_print():
    check_fixed(
        """
        def training_step(self, batch, batch_idx):
            print("a", batch, sep=", ")
            print("now", flush=True)
            return self.loss(batch)
        """,
        """
        def training_step(self, batch, batch_idx):
            self.print("a", batch, sep=", ")
            print("now", flush=True)
            return self.loss(batch)
        """,
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("self.x = 1", "super().__init__()\n        self.x = 1"),
        ('"""Doc."""\n\n        self.x = 1', '"""Doc."""\n\n        super().__init__()\n        self.x = 1'),
        ('"""Doc."""', '"""Doc."""\n        super().__init__()'),
    ],
)
def test_super_init(before, after):
    text = HEAD + "class Lit(LightningModule):\n    def __init__(self):\n        {}\n"
    assert fixed(text.format(before)) == text.format(after)


def test_super_init_that_needs_arguments_is_left():
    text = """
    class Base(LightningModule):
        def __init__(self, width):
            super().__init__()


    class Lit(Base):
        def __init__(self):
            self.x = 1
    """
    text = HEAD + textwrap.dedent(text)
    assert fixed(text) == text


def test_losses():
    check_fixed(
        """
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            self.total += loss
            self.log("loss", loss.item(), prog_bar=True)
            return loss
        """,
        """
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            self.total += loss.detach()
            self.log("loss", loss, prog_bar=True)
            return loss
        """,
    )


def test_a_step_without_loss():
    check_fixed(
        """
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            self.log("loss", loss)

        # what follows
        x = 3
        """,
        """
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            self.log("loss", loss)
            return loss

        # what follows
        x = 3
        """,
    )


def test_shapes_of_a_module():
    check_fixed(
        """
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(2, 2)]
            self.heads = {"a": nn.Linear(2, 1)}

        def validaton_step(self, batch, batch_idx):
            self.log("x", 1)

        def configure_optimizers(self):
            optimizer = optim.SGD(self.parameters(), lr=0.1)
            scheduler = optim.lr_scheduler.StepLR(optimizer, 3)
            return optimizer
        """,
        """
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(2, 2)])
            self.heads = nn.ModuleDict({"a": nn.Linear(2, 1)})

        def validation_step(self, batch, batch_idx):
            self.log("x", 1)

        def configure_optimizers(self):
            optimizer = optim.SGD(self.parameters(), lr=0.1)
            scheduler = optim.lr_scheduler.StepLR(optimizer, 3)
            return [optimizer], [scheduler]
        """,
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('torch.load("x.pt")', 'torch.load("x.pt", weights_only=True)'),
        ('torch.load(("x.pt"),)', 'torch.load(("x.pt"), weights_only=True)'),
        ('torch.load(\n            "x.pt"\n        )', 'torch.load(\n            "x.pt"\n        )'),
    ],
)
def test_load(before, after):
    text = "def setup(self, stage):\n    self.x = {}"
    check_fixed(text.format(before), text.format(after))


def test_loaders():
    check_fixed(
        "def val_dataloader(self):\n    return Loader(self.x, shuffle=True)",
        "def val_dataloader(self):\n    return Loader(self.x, shuffle=False)",
        base="LightningDataModule",
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("gpus=2, max_epochs=3", 'accelerator="gpu", devices=2, max_epochs=3'),
        ("gpus=0", 'accelerator="cpu"'),
        ("gpus=args.gpus", "gpus=args.gpus"),
        ("gpus=1, accelerator='gpu'", "gpus=1, accelerator='gpu'"),
        ("row_log_interval=5", "log_every_n_steps=5"),
        ("terminate_on_nan=True", "detect_anomaly=True"),
    ],
)
def test_trainer_arguments(before, after):
    text = "from lightning import Trainer\n\ntrainer = Trainer({})\n"
    assert fixed(text.format(before)) == text.format(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1  # noqa: LIT101", "x = 1"),
        ("x = 1  # noqa: LIT101, E501, LIT601", "x = 1  # noqa: E501"),
        ("x = 1  # noqa: LIT101 for a reason", "x = 1  # for a reason"),
        ("x = 1  # noqa: LIT101  # a reason", "x = 1  # a reason"),
        ("x = 1  # why  # noqa: LIT101", "x = 1  # why"),
        ("x = 1  # litify: ignore[LIT101, LIT601]", "x = 1"),
        ("# litify: noqa: LIT101\nx = 1", "x = 1"),
        ("x = 1  # litify: ignore", "x = 1"),
    ],
)
def test_unused_suppressions(before, after):
    assert fixed(f"import torch\n{before}\n") == f"import torch\n{after}\n"


def test_line_breaks_encoding_and_mark_stay():
    text = in_class(
        "def validation_step(self, batch, batch_idx):\n    print('größe')\n    self.eval()\n    x = 1"
    )
    for data in (
        text.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + text.encode(),
        b"# coding: latin-1\n" + text.encode("latin-1"),
    ):
        result = fix_source(data, "x.py", ALL)
        expected = data.replace(b"print", b"self.print").replace(b"        self.eval()\r\n", b"")
        assert result.data == expected.replace(b"        self.eval()\n", b"")


def test_suppressed_findings_are_not_fixed():
    check_unchanged("def validation_step(self, batch, batch_idx):\n    print(batch)  # noqa: LIT601")


def test_difference():
    lines = list(difference("a.py", b"x\ny\n", b"x\nz\n"))
    assert lines[:2] == ["--- a.py\n", "+++ a.py\n"] and "-y\n" in lines and "+z\n" in lines
    assert "\\ No newline at end of file\n" in list(difference("a.py", b"x", b"y"))[-1]


EXAMPLES = [(rule, example) for rule in all_rules() for example in rule.examples]


@pytest.mark.parametrize(
    ("rule", "example"), EXAMPLES, ids=[f"{r.code}-{r.examples.index(e)}" for r, e in EXAMPLES]
)
def test_examples_stay_whole(rule, example):
    """Whatever is fixed still parses, keeps its comments, and a second run changes nothing."""
    text = textwrap.dedent(example.bad)
    result = fix_source(text.encode(), "x.py", ALL, unsafe=True)
    assert (result.data.decode() != text) == bool(result.counts)
    if rule.code != "LIT001":
        assert comments(fixed(text)) == comments(text)


@pytest.mark.parametrize("rule", [rule for rule in all_rules() if rule.fix], ids=lambda rule: rule.code)
def test_a_rule_that_says_it_has_fixes_has_one(rule):
    """And what it has fixed it does not find any more."""
    done = False
    for example in rule.examples:
        text = textwrap.dedent(example.bad)
        safe = fix_source(text.encode(), "x.py", ALL, unsafe=False)
        result = fix_source(text.encode(), "x.py", ALL, unsafe=True)
        count = result.counts[(rule.code, rule.name)]
        assert bool(safe.counts) == (rule.fix == "safe") or not count
        done |= count > 0 and rule.code not in {f.code for f in result.checked.findings}
    assert done


PIECES = [
    "x.cuda()",
    "print(1)",
    "self.eval()",
    "loss.backward()",
    "pass",
    "with torch.no_grad():\n    self.eval()",
]
PIECES += [
    "self.log('a', loss.item())",
    "x = 1  # noqa: LIT101",
    "if x:\n    self.eval(); print(2)",
    "return loss",
]
PIECES += [
    "for i in x:\n    self.zero_grad()",
    "'''\n  text\n'''",
    "# a comment",
    "with torch.no_grad(), a: print(3)",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8), st.sampled_from(["training", "validation"]))
def test_assembled_steps(pieces, stage):
    body = textwrap.indent("\n".join([*pieces, "x = 1"]), "    ")
    text = in_class(f"def {stage}_step(self, batch, batch_idx):\n{body}")
    for unsafe in (False, True):
        result = fixed(text, unsafe)
        assert ast.get_docstring(ast.parse(result)) is None
