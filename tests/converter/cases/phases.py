import copy

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(40, 4), torch.randint(0, 3, (40,))
datasets = {"train": TensorDataset(x[:24], y[:24]), "val": TensorDataset(x[24:], y[24:])}
dataloaders = {p: DataLoader(datasets[p], batch_size=8, shuffle=True) for p in ["train", "val"]}
device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


def train_model(model, criterion, optimizer, scheduler, num_epochs=25):
    best_weights = copy.deepcopy(model.state_dict())
    best_acc = 0.0
    for epoch in range(num_epochs):
        print(f"Epoch {epoch}/{num_epochs - 1}")

        # Each epoch has a training and validation phase
        for phase in ["train", "val"]:
            if phase == "train":
                model.train()  # Set model to training mode
            else:
                model.eval()  # Set model to evaluate mode
            running_loss = 0.0
            running_corrects = 0

            # Iterate over data.
            for inputs, labels in dataloaders[phase]:
                inputs = inputs.to(device)
                labels = labels.to(device)

                # zero the parameter gradients
                optimizer.zero_grad()

                # track history if only in train
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    _, preds = torch.max(outputs, 1)
                    loss = criterion(outputs, labels)

                    # backward + optimize only if in training phase
                    if phase == "train":
                        loss.backward()
                        optimizer.step()

                # statistics
                running_loss += loss.item() * inputs.size(0)
                running_corrects += torch.sum(preds == labels.data)
            if phase == "train":
                scheduler.step()

            epoch_loss = running_loss / len(datasets[phase])
            epoch_acc = running_corrects.double() / len(datasets[phase])
            print(f"R: {phase} {epoch_loss:.4f} {epoch_acc:.4f}")

            # deep copy the model
            if phase == "val" and epoch_acc > best_acc:
                best_acc = epoch_acc
                best_weights = copy.deepcopy(model.state_dict())

    print(f"R: {best_acc:.4f}")
    model.load_state_dict(best_weights)
    return model


model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3)).to(device)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
model = train_model(model, criterion, optimizer, scheduler, num_epochs=4)
print("R:", model[0].weight.sum().item())
# output
import copy

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer

torch.manual_seed(0)
x, y = torch.randn(40, 4), torch.randint(0, 3, (40,))
datasets = {"train": TensorDataset(x[:24], y[:24]), "val": TensorDataset(x[24:], y[24:])}
dataloaders = {p: DataLoader(datasets[p], batch_size=8, shuffle=True) for p in ["train", "val"]}
device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


class LitPhases(LightningModule):
    def __init__(self, best_weights, criterion, model, num_epochs, optimizer, scheduler):
        super().__init__()
        self.best_weights = best_weights
        self.criterion = criterion
        self.model = model
        self.num_epochs = num_epochs
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.best_acc = 0.0

    def on_train_epoch_start(self):
        epoch = self.current_epoch
        self.print(f"Epoch {epoch}/{self.num_epochs - 1}")
        self.running_corrects = 0

    def training_step(self, batch, batch_idx):
        # Iterate over data.
        inputs, labels = batch

        # track history if only in train
        outputs = self.model(inputs)
        _, preds = torch.max(outputs, 1)
        loss = self.criterion(outputs, labels)

        # statistics
        self.log(
            "running_loss",
            loss * inputs.size(0),
            on_step=False,
            on_epoch=True,
            reduce_fx="sum",
            sync_dist=True,
        )
        self.running_corrects += torch.sum(preds == labels.data)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self):
        self.val_running_loss = 0.0
        self.val_running_corrects = 0

    def validation_step(self, batch, batch_idx):
        inputs, labels = batch
        outputs = self.model(inputs)
        _, preds = torch.max(outputs, 1)
        loss = self.criterion(outputs, labels)

        # statistics
        self.val_running_loss += loss.item() * inputs.size(0)
        self.val_running_corrects += torch.sum(preds == labels.data)

    def on_train_epoch_end(self):
        running_loss = self.trainer.callback_metrics["running_loss"].item()

        epoch_loss = running_loss / len(datasets["train"])
        epoch_acc = self.running_corrects.double() / len(datasets["train"])
        self.print(f"R: train {epoch_loss:.4f} {epoch_acc:.4f}")

        val_epoch_loss = self.val_running_loss / len(datasets["val"])
        val_epoch_acc = self.val_running_corrects.double() / len(datasets["val"])
        self.print(f"R: val {val_epoch_loss:.4f} {val_epoch_acc:.4f}")

        # deep copy the model
        if val_epoch_acc > self.best_acc:
            self.best_acc = val_epoch_acc
            self.best_weights = copy.deepcopy(self.model.state_dict())

    def configure_optimizers(self):
        return [self.optimizer], [self.scheduler]


def train_model(model, criterion, optimizer, scheduler, num_epochs=25):
    best_weights = copy.deepcopy(model.state_dict())
    lit_model = LitPhases(best_weights, criterion, model, num_epochs, optimizer, scheduler)
    trainer = Trainer(max_epochs=num_epochs, num_sanity_val_steps=0)
    trainer.fit(lit_model, dataloaders["train"], dataloaders["val"])
    model.eval()
    best_weights = lit_model.best_weights

    print(f"R: {lit_model.best_acc:.4f}")
    model.load_state_dict(best_weights)
    return model


model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3)).to(device)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
model = train_model(model, criterion, optimizer, scheduler, num_epochs=4)
print("R:", model[0].weight.sum().item())
