"""What a training does when it is told to end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from tests.runtime.models import Classifier, loader

from litify import Trainer
from litify.errors import SIGTERMException


def test_sigterm_ends_fit_after_the_batch_and_keeps_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Ended(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().training_step(batch, batch_idx)

    own = Mock()
    before = signal.signal(signal.SIGTERM, own)
    try:
        trainer = Trainer(default_root_dir=tmp_path, max_epochs=1, logger=False, accelerator="cpu")
        with pytest.raises(SIGTERMException) as error:
            trainer.fit(Ended(), loader())
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)
    own.assert_called_once()
    assert error.value.code == 143 and trainer.received_sigterm and trainer.interrupted
    kept = torch.load(tmp_path / "checkpoints" / "interrupted.ckpt", weights_only=True)
    assert kept["global_step"] == 4
    said = capsys.readouterr().err.splitlines()[-1]
    assert (
        said.startswith("litify: terminated at epoch 0, step 4; go on with ckpt_path=")
        and "interrupted.ckpt" in said
    )
