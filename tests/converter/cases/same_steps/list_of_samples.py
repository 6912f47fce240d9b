import torch
import torch.nn as nn

torch.manual_seed(3)
training_data = [
    ("The dog ate the apple".split(), ["DET", "NN", "V", "DET", "NN"]),
    ("Everybody read that book".split(), ["NN", "V", "DET", "NN"]),
]
word_to_idx = {}
tag_to_idx = {"DET": 0, "NN": 1, "V": 2}
for words, _ in training_data:
    for word in words:
        word_to_idx.setdefault(word, len(word_to_idx))


def make_sequence(x, dic):
    return torch.tensor([dic[i] for i in x])


model = nn.Sequential(nn.Embedding(len(word_to_idx), 6), nn.Linear(6, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(3):
    running_loss = 0
    for data in training_data:
        word, tag = data
        word_list = make_sequence(word, word_to_idx)
        tag = make_sequence(tag, tag_to_idx)
        loss = nn.functional.cross_entropy(model(word_list), tag)
        running_loss += loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("R:", epoch, round(running_loss / len(data), 5))
