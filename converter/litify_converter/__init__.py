"""Raw PyTorch training script -> Lightning script."""
