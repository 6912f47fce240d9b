import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
extra = nn.Linear(4, 3)
opt = torch.optim.SGD([*net.parameters(), *extra.parameters()], lr=0.1, momentum=0.9)
for epoch in range(3):
    for inputs, labels in loader:
        opt.zero_grad(set_to_none=False)
        out = net(inputs) if inputs[0, 0] > 0 else extra(inputs)
        loss = F.cross_entropy(out, labels)
        loss.backward()
        opt.step()
