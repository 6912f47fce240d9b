"""BatchNorm over the batches of all processes: torch's SyncBatchNorm, and what it lacks on the CPU."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def sync_batchnorm(module: nn.Module, device: torch.device) -> None:
    """Give the BatchNorm layers within `module` the statistics of all processes, in place. Names in its state_dict stay."""
    if device.type != "cpu":
        nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and not isinstance(layer, nn.SyncBatchNorm):
            layer.__class__ = CPUSyncBatchNorm


class CPUSyncBatchNorm(_BatchNorm):
    """SyncBatchNorm for the CPU, which torch's refuses, so that what was written for GPUs can be tried without."""

    def forward(self, input: Tensor) -> Tensor:
        """Shape (batch, channels, ...), and the same out. Batches may differ in length between processes."""
        if not self.training:
            return super().forward(input)
        dims = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        count = input.new_tensor([input.numel() / input.size(1)])
        total = _sum(torch.cat([input.sum(dims), count]))
        count = total[-1:].detach()
        mean = total[:-1] / count
        centred = input - mean.view(shape)
        variance = _sum(centred.square().sum(dims)) / count
        self._keep(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        output = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.weight is None:
            return output
        return output * self.weight.view(shape) + self.bias.view(shape)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions: which BatchNorm it was is forgotten."""

    def _keep(self, mean: Tensor, variance: Tensor) -> None:
        """Take statistics of a batch into the running ones."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def _sum(tensor: Tensor) -> Tensor:
    """The sum over all processes; gradients flow back to each."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return tensor
    from torch.distributed.nn.functional import all_reduce  # loads torch.distributed.rpc: rarely needed

    summed: Tensor = all_reduce(tensor)  # type: ignore[no-untyped-call]
    return summed
