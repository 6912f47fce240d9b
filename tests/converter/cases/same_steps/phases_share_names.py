import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(40, 4), torch.randint(0, 3, (40,))
train_loader = DataLoader(TensorDataset(x[:24], y[:24]), batch_size=8, shuffle=True)
val_loader = DataLoader(TensorDataset(x[24:], y[24:]), batch_size=8)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
history = {"train": [], "val": []}
total = 0.0
for epoch in range(3):
    for mode in ("train", "val"):
        loader = train_loader if mode == "train" else val_loader
        if mode == "train":
            net.train()
        elif mode == "val":
            net.eval()
        total = 0.9 * total
        count = 0
        for inputs, labels in loader:
            loss = F.cross_entropy(net(inputs), labels)
            if mode == "train":
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += loss.item()
            count += 1
        history[mode].append(total / count)
        print(f"R: {mode:>5} {total:.4f} {count}")
print("R:", history, total)
