"""Fixes that take moves, statements and grad contexts out of a step."""

from __future__ import annotations

from fixing import HEAD, check_fixed, check_unchanged, fixed, in_class


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
