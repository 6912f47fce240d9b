"""LightningModule and LightningDataModule, by the place where Lightning keeps them."""

from litify.datamodule import LightningDataModule
from litify.module import LightningModule

__all__ = ["LightningDataModule", "LightningModule"]
