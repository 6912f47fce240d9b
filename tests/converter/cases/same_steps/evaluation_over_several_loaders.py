import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(60, 4), torch.randint(0, 3, (60,))
train_data = TensorDataset(x[:40], y[:40])
train_loader = DataLoader(train_data, batch_size=8, shuffle=True)
val_loader = DataLoader(TensorDataset(x[40:50], y[40:50]), batch_size=8)
test_loader = DataLoader(TensorDataset(x[50:], y[50:]), batch_size=8)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
optimizer = torch.optim.Adam(net.parameters())
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=10)


def train():
    net.train()
    total = 0
    for inputs, labels in train_loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        total += loss.item() * len(inputs)
        optimizer.step()
    return total / len(train_data)


@torch.no_grad()
def test(loader):
    net.eval()
    loss_sum = 0.0
    right = seen = 0
    for inputs, labels in loader:
        out = net(inputs)
        loss_sum += F.cross_entropy(out, labels, reduction="sum").item()
        right += int((out.argmax(1) == labels).sum())
        seen += labels.numel()
    return loss_sum / len(loader), right / seen


best = 0
for epoch in range(1, 5):
    loss = train()
    _, train_acc = test(train_loader)
    val_loss, val_acc = test(val_loader)
    test_loss, test_acc = test(test_loader)
    scheduler.step(val_loss)
    if val_acc > best:
        best, best_test = val_acc, test_acc
    print(f"R: {epoch} {loss:.5f} {train_acc:.4f} {val_loss:.4f} {val_acc:.4f} {test_loss:.4f} {test_acc:.4f}")
print(f"R: {best:.4f} {best_test:.4f} {test_acc:.4f} {net.training}")
