"""As células da aula, coladas, rodam depois de ``from llmdefinitions import …``.

Só mudam o que a rede exige, a origem do tokenizador e do modelo, os tamanhos que deixam o teste rápido e as
funções de lote, que na aula leem variáveis globais. As linhas que a página da aula corta na margem direita foram
completadas como no livro.
"""

import contextlib
import io
import re

import pytest

from llmdefinitions import download_and_load_gpt2, get_tokenizer

CELLS = [
    # --- Preparando o dataset
    """
import urllib.request
import zipfile
import os
from pathlib import Path

url = "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip"
zip_path = "sms_spam_collection.zip"
extracted_path = "sms_spam_collection"
data_file_path = Path(extracted_path) / "SMSSpamCollection.tsv"
""",
    "from llmdefinitions import download_and_unzip_spam_data",
    "download_and_unzip_spam_data(url, zip_path, extracted_path, data_file_path)",
    """
import pandas as pd

df = pd.read_csv(data_file_path, sep="\\t", header=None, names=["Label", "Text"])
df.head()
""",
    'print(df["Label"].value_counts())',
    """
from llmdefinitions import create_balanced_dataset

balanced_df = create_balanced_dataset(df)
print(balanced_df["Label"].value_counts())
""",
    'balanced_df["Label"] = balanced_df["Label"].map({"ham": 0, "spam": 1})',
    """
from llmdefinitions import random_split

train_df, validation_df, test_df = random_split(balanced_df, 0.7, 0.1)

train_df.to_csv("train.csv", index=None)
validation_df.to_csv("validation.csv", index=None)
test_df.to_csv("test.csv", index=None)
""",
    # --- Criando data loaders
    """
import tiktoken

tokenizer = tiktoken.get_encoding("gpt2")
print(tokenizer.encode("<|endoftext|>", allowed_special={"<|endoftext|>"}))
""",
    """
import torch
from torch.utils.data import DataLoader
from llmdefinitions import SpamDataset

train_dataset = SpamDataset(csv_file="train.csv", max_length=MAX_LENGTH, tokenizer=tokenizer)
val_dataset = SpamDataset(csv_file="validation.csv", max_length=train_dataset.max_length, tokenizer=tokenizer)
test_dataset = SpamDataset(csv_file="test.csv", max_length=train_dataset.max_length, tokenizer=tokenizer)

num_workers = 0
batch_size = 8

torch.manual_seed(123)

train_loader = DataLoader(
    dataset=train_dataset, batch_size=batch_size, shuffle=True, num_workers=num_workers, drop_last=True,
)
val_loader = DataLoader(dataset=val_dataset, batch_size=batch_size, num_workers=num_workers, drop_last=False)
test_loader = DataLoader(dataset=test_dataset, batch_size=batch_size, num_workers=num_workers, drop_last=False)
""",
    """
print(f"{len(train_loader)} training batches")
print(f"{len(val_loader)} validation batches")
print(f"{len(test_loader)} test batches")
""",
    # --- Inicializando o modelo
    """
INPUT_PROMPT = "Every effort moves"

BASE_CONFIG = {
    "vocab_size": 50257,      # Vocabulary size
    "context_length": 1024,   # Context length
    "drop_rate": 0.0,         # Dropout rate
    "qkv_bias": True          # Query-key-value bias
}

from llmdefinitions import MODEL_CONFIGS as model_configs

BASE_CONFIG.update(model_configs[CHOOSE_MODEL])
""",
    """
from llmdefinitions import GPTModel, load_weights_into_gpt

model_size = CHOOSE_MODEL.split(" ")[-1].lstrip("(").rstrip(")")
settings, params = download_and_load_gpt2(model_size=model_size, models_dir="gpt2")

model = GPTModel(BASE_CONFIG)
load_weights_into_gpt(model, params)
model.eval();
""",
    """
from llmdefinitions import (
    generate_text_simple,
    text_to_token_ids,
    token_ids_to_text
)

text_1 = "Every effort moves you"

token_ids = generate_text_simple(
    model=model,
    idx=text_to_token_ids(text_1, tokenizer),
    max_new_tokens=15,
    context_size=BASE_CONFIG["context_length"]
)

print(token_ids_to_text(token_ids, tokenizer))
""",
    """
text_2 = (
    "Is the following text 'spam'? Answer with 'yes' or 'no':"
    " 'You are a winner you have been specially"
    " selected to receive $1000 cash or a $2000 award.'"
    " Answer with 'yes' or 'no'."
)

token_ids = generate_text_simple(
    model=model,
    idx=text_to_token_ids(text_2, tokenizer),
    max_new_tokens=23,
    context_size=BASE_CONFIG["context_length"]
)

print(token_ids_to_text(token_ids, tokenizer))
""",
    # --- Adicionando a camada de classificação
    """
for param in model.parameters():
    param.requires_grad = False
""",
    """
torch.manual_seed(123)

num_classes = 2
model.out_head = torch.nn.Linear(in_features=BASE_CONFIG["emb_dim"], out_features=num_classes)
""",
    """
for param in model.trf_blocks[-1].parameters():
    param.requires_grad = True

for param in model.final_norm.parameters():
    param.requires_grad = True
""",
    """
inputs = tokenizer.encode("Do you have time")
inputs = torch.tensor(inputs).unsqueeze(0)
print("Inputs:", inputs)
print("Inputs dimensions:", inputs.shape) # shape: (batch_size, num_tokens)
""",
    """
with torch.no_grad():
     outputs = model(inputs)

print("Outputs:\\n", outputs)
print("Outputs dimensions:", outputs.shape) # shape: (batch_size, num_tokens, num_classes)
""",
    'print("Last output token:", outputs[:, -1, :])',
    """
probas = torch.softmax(outputs[:, -1, :], dim=-1)
label = torch.argmax(probas)
print("Class label:", label.item())
""",
    """
logits = outputs[:, -1, :]
label = torch.argmax(logits) # Pula Softmax
print("Class label:", label.item())
""",
    # --- Perda e acurácia
    """
from llmdefinitions import calc_accuracy_loader, calc_loss_loader

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model.to(device)

torch.manual_seed(123)

train_accuracy = calc_accuracy_loader(train_loader, model, device, num_batches=10)
val_accuracy = calc_accuracy_loader(val_loader, model, device, num_batches=10)
test_accuracy = calc_accuracy_loader(test_loader, model, device, num_batches=10)

print(f"Training accuracy: {train_accuracy*100:.2f}%")
print(f"Validation accuracy: {val_accuracy*100:.2f}%")
print(f"Test accuracy: {test_accuracy*100:.2f}%")
""",
    """
with torch.no_grad():
    train_loss = calc_loss_loader(train_loader, model, device, num_batches=5)
    val_loss = calc_loss_loader(val_loader, model, device, num_batches=5)
    test_loss = calc_loss_loader(test_loader, model, device, num_batches=5)

print(f"Training loss: {train_loss:.3f}")
print(f"Validation loss: {val_loss:.3f}")
print(f"Test loss: {test_loss:.3f}")
""",
    # --- Ajuste fino
    """
import time
from llmdefinitions import train_classifier_simple

start_time = time.time()
torch.manual_seed(123)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.1)

num_epochs = NUM_EPOCHS
train_losses, val_losses, train_accs, val_accs, examples_seen = train_classifier_simple(
    model, train_loader, val_loader, optimizer, device,
    num_epochs=num_epochs, eval_freq=50, eval_iter=5,
    tokenizer=tokenizer
)

end_time = time.time()
execution_time_minutes = (end_time - start_time) / 60
print(f"Training completed in {execution_time_minutes:.2f} minutes.")
""",
    """
from llmdefinitions import plot_values

epochs_tensor = torch.linspace(0, num_epochs, len(train_losses))
examples_seen_tensor = torch.linspace(0, examples_seen, len(train_losses))

plot_values(epochs_tensor, examples_seen_tensor, train_losses, val_losses)
""",
    """
epochs_tensor = torch.linspace(0, num_epochs, len(train_accs))
examples_seen_tensor = torch.linspace(0, examples_seen, len(train_accs))

plot_values(epochs_tensor, examples_seen_tensor, train_accs, val_accs, label="accuracy")
""",
    """
train_accuracy = calc_accuracy_loader(train_loader, model, device)
val_accuracy = calc_accuracy_loader(val_loader, model, device)
test_accuracy = calc_accuracy_loader(test_loader, model, device)
""",
    # --- Usando o LLM como um classificador de spam
    """
from llmdefinitions import classify_review

text_1 = (
    "You are a winner you have been specially"
    " selected to receive $1000 cash or a $2000 award."
)

print(classify_review(
    text_1, model, tokenizer, device, max_length=train_dataset.max_length
))
""",
    """
text_2 = (
    "Hey, just wanted to check if we're still on"
    " for dinner tonight? Let me know!"
)

print(classify_review(
    text_2, model, tokenizer, device, max_length=train_dataset.max_length
))
""",
    'torch.save(model.state_dict(), "review_classifier.pth")',
    """
model_state_dict = torch.load("review_classifier.pth")
model.load_state_dict(model_state_dict)
""",
]


def run_lecture(folder, monkeypatch, max_length, num_epochs):
    """Roda as células em ``folder``; devolve as variáveis e o que foi impresso."""
    monkeypatch.chdir(folder)
    get_tokenizer()  # põe os arquivos do vocabulário onde o tiktoken da aula os encontra

    variables = {
        "CHOOSE_MODEL": "gpt2-mini (12M)",
        "MAX_LENGTH": max_length,
        "NUM_EPOCHS": num_epochs,
        "download_and_load_gpt2": download_and_load_gpt2,
    }
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for cell in CELLS:
            exec(compile(cell, cell.strip()[:60], "exec"), variables)  # noqa: S102 — as células deste arquivo
    return variables, printed.getvalue()


def test_the_lectures_cells_run_unchanged(tmp_path, monkeypatch):
    names, printed = run_lecture(tmp_path, monkeypatch, max_length=24, num_epochs=1)
    assert [len(names[part]) for part in ("train_df", "validation_df", "test_df")] == [898, 128, 258]
    assert "112 training batches\n16 validation batches\n33 test batches" in printed
    assert "[50256]" in printed
    assert "Inputs: tensor([[5211,  345,  423,  640]])" in printed
    assert "Is the following text 'spam'? Answer" in printed
    assert "Outputs dimensions: torch.Size([1, 4, 2])" in printed
    assert len(names["train_losses"]) == len(names["val_losses"]) == 3
    assert names["examples_seen"] == 112 * 8
    assert 0.5 < names["test_accuracy"] <= 1
    assert len([line for line in printed.splitlines() if line in ("spam", "not spam")]) == 2
    assert (tmp_path / "review_classifier.pth").is_file()


@pytest.mark.lento
def test_the_lectures_run_on_the_uci_file(tmp_path, monkeypatch, uci_file):
    monkeypatch.setenv("LLMDEFINITIONS_FONTE", "local")
    monkeypatch.setenv("LLMDEFINITIONS_DADOS", str(uci_file.parents[1]))
    names, printed = run_lecture(tmp_path, monkeypatch, max_length=None, num_epochs=5)
    assert re.search(r"ham +4825\nspam +747\n", printed)
    assert re.search(r"ham +747\nspam +747\n", printed)
    assert [len(names[part]) for part in ("train_df", "validation_df", "test_df")] == [1045, 149, 300]
    assert names["train_dataset"].max_length == 120
    assert "130 training batches\n19 validation batches\n38 test batches" in printed
    assert len(names["train_losses"]) == 13
    assert len(names["train_accs"]) == 5
    assert names["train_losses"][-1] < names["train_losses"][0]
    assert 0.85 < names["test_accuracy"] <= 1
