"""Soluções da lição 02 que os testes dela têm de reprovar, com a mensagem de cada erro, e as certas, que aprovam."""

from tests.mutants import Exercise, Wrong

TOKENIZE_RIGHT = """
import torch


def tokenize_batch(texts, tokenizer, max_length=32):
    if len(texts) == 0:
        raise ValueError("não há textos")
    rows, truncated = [], []
    for text in texts:
        ids = tokenizer.encode(text)
        truncated.append(len(ids) > max_length)
        rows.append(ids[: max_length - 1] + ids[-1:] if truncated[-1] else ids)
    width = max(len(row) for row in rows)
    input_ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    attention_mask = torch.zeros_like(input_ids)
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = torch.tensor(row)
        attention_mask[i, : len(row)] = 1
    return dict(truncated=torch.BoolTensor(truncated), attention_mask=attention_mask, input_ids=input_ids)
"""

CLS_RIGHT = """
@torch.inference_mode()
def cls_features(texts, tokenizer, model, batch_size=32):
    was_training = model.training
    model.eval()
    rows = []
    while len(rows) < len(texts):
        lot = tokenizer(
            texts[len(rows) : len(rows) + batch_size],
            padding="longest",
            truncation=True,
            max_length=tokenizer.model_max_length,
            return_tensors="pt",
        )
        states = model(input_ids=lot.input_ids.to(model.device), attention_mask=lot.attention_mask.to(model.device))
        rows += list(states[0][:, 0, :].cpu().numpy())
    model.train(was_training)
    return np.stack(rows)
"""

MEDIA_RIGHT = """
def mean_pool(hidden_states, attention_mask, skip_special=False):
    means = []
    for states, mask in zip(hidden_states, attention_mask, strict=True):
        vectors = states[mask == 1]
        if skip_special:
            vectors = vectors[1:-1]
        means.append(vectors.mean(dim=0) if len(vectors) else torch.zeros(states.shape[1]))
    return torch.stack(means)
"""

RECALL_RIGHT = """
def read_recalls(matrix, label_names):
    matrix = np.asarray(matrix, dtype=float)
    totals = matrix.sum(axis=1)
    recalls = [right / total if total > 0 else None for right, total in zip(np.diag(matrix), totals)]
    known = [recall for recall in recalls if recall is not None]
    return [dict(zip(label_names, recalls)), np.mean(known) if known else None]
"""

COMPARE_RIGHT = """
import copy

from sklearn.metrics import recall_score


def compare(candidates, labels):
    best, best_score, scores = None, -1, {}
    for name in candidates:
        model, inputs = candidates[name]
        model = copy.deepcopy(model)
        model.fit(inputs["train"], labels["train"])
        scores[name] = recall_score(labels["validation"], model.predict(inputs["validation"]), average="macro")
        if scores[name] > best_score:
            best, best_score, winner = name, scores[name], model
    answers = winner.predict(candidates[best][1]["test"])
    return {"best": best, "validation": scores, "test": recall_score(labels["test"], answers, average="macro")}
"""

EXERCISES = {
    "02_tokenizacao": Exercise(
        right=TOKENIZE_RIGHT,
        wrong=(
            Wrong(
                "completa até o máximo do modelo, como na aula",
                "Complete até o mais longo do lote",
                changes={
                    "padding=True, truncation=True, max_length=max_length": 'padding="max_length", truncation=True'
                },
            ),
            Wrong(
                "esquece max_length",
                "O max_length não chegou ao tokenizador",
                changes={"truncation=True, max_length=max_length": "truncation=True"},
            ),
            Wrong(
                "completa até max_length",
                "Se nenhum texto chega a max_length",
                changes={"padding=True": 'padding="max_length"'},
            ),
            Wrong(
                "mede depois de cortar",
                "Meça o texto antes de cortar",
                changes={"tokenizer(texts)": "tokenizer(texts, truncation=True, max_length=max_length)"},
            ),
            Wrong(
                "quem cabe exatamente conta como cortado",
                "não perdeu nada",
                changes={"length > max_length": "length >= max_length"},
            ),
            Wrong(
                "mede em palavras",
                "truncated",
                changes={"len(ids) for ids in tokenizer(texts)": "len(text.split()) for text in dict(input_ids=texts)"},
            ),
            Wrong(
                "máscara invertida", "1 no texto", changes={'batch["attention_mask"]': '1 - batch["attention_mask"]'}
            ),
            Wrong(
                "listas em vez de tensores",
                "Veja return_tensors",
                changes={', return_tensors="pt"': ""},
            ),
            Wrong("não recusa a lista vazia", "Sem textos não há lote", changes={"if not texts:": "if False:"}),
            Wrong(
                "devolve None na lista vazia",
                "Sem textos",
                changes={'raise ValueError("texts: a lista está vazia.")': "return None"},
            ),
        ),
    ),
    "02_cls": Exercise(
        right=CLS_RIGHT,
        wrong=(
            Wrong(
                "devolve a média",
                "É a média; pede-se o",
                changes={
                    "hidden_states[:, 0].cpu()": (
                        "((hidden_states * batch.attention_mask.unsqueeze(-1)).sum(1) "
                        "/ batch.attention_mask.sum(1, keepdim=True)).cpu()"
                    )
                },
            ),
            Wrong("o último token", "Passe ao modelo também a máscara", changes={"[:, 0]": "[:, -1]"}),
            Wrong(
                "sem a máscara",
                "também a máscara",
                changes={"**batch.to(model.device)": 'batch["input_ids"].to(model.device)'},
            ),
            Wrong("esquece o eval", "modo de treino", changes={"    model.eval()\n": ""}),
            Wrong(
                "guarda gradientes",
                "use torch.no_grad()",
                changes={"torch.no_grad()": "torch.enable_grad()", "[:, 0].cpu()": "[:, 0].detach().cpu()"},
            ),
            Wrong(
                "perde o último lote",
                "O último lote pode ser menor",
                changes={"range(0, len(texts), batch_size)": "range(0, len(texts) - batch_size + 1, batch_size)"},
            ),
            Wrong(
                "tensores em vez de NumPy",
                ".cpu().numpy()",
                changes={".cpu().numpy()": "", "np.concatenate": "torch.cat"},
            ),
            Wrong("não corta", "non-singleton dimension", changes={"truncation=True, ": ""}),
            Wrong(
                "um lote só",
                "esperava 3 lotes",
                changes={"range(0, len(texts), batch_size)": "range(1)", "start : start + batch_size": ":"},
            ),
            Wrong(
                "chama a biblioteca",
                "extract_features é o que este exercício recria",
                code="""
from llmdefinitions import extract_features


def cls_features(texts, tokenizer, model, batch_size=32):
    return extract_features(texts, tokenizer, model, batch_size=batch_size)
""",
            ),
        ),
    ),
    "02_media": Exercise(
        right=MEDIA_RIGHT,
        wrong=(
            Wrong(
                "a média de tudo",
                "O preenchimento entrou na média",
                changes={"kept = attention_mask == 1": "kept = torch.ones_like(attention_mask).bool()"},
            ),
            Wrong(
                "divide por T",
                "e não por T",
                changes={"kept.sum(dim=1, keepdim=True).clamp(min=1)": "hidden_states.shape[1]"},
            ),
            Wrong("só soma", "falta dividir", changes={"total / kept.sum(dim=1, keepdim=True).clamp(min=1)": "total"}),
            Wrong(
                "o [CLS]",
                "É o vetor do [CLS]",
                code="def mean_pool(states, mask, skip_special=False):\n    return states[:, 0]\n",
            ),
            Wrong(
                "multiplica pela máscara",
                "nan * 0 é nan",
                changes={"hidden_states.masked_fill(~kept.unsqueeze(-1), 0)": "(hidden_states * kept.unsqueeze(-1))"},
            ),
            Wrong(
                "o [SEP] na posição T - 1",
                "O [SEP] é o último do texto",
                changes={"attention_mask.sum(dim=1) - 1": "-1"},
            ),
            Wrong(
                "deixa o [SEP]",
                "Falta deixar de fora o [SEP]",
                changes={"kept[torch.arange(len(kept)), last] = False": "pass"},
            ),
            Wrong("deixa o [CLS]", "Falta deixar de fora o [CLS]", changes={"kept[:, 0] = False": "pass"}),
            Wrong("não protege a divisão", "Sem token nenhum", changes={".clamp(min=1)": ""}),
            Wrong(
                "mexe na máscara recebida",
                "attention_mask",
                changes={
                    "kept = attention_mask == 1": "kept = attention_mask",
                    "~kept.unsqueeze(-1)": "~kept.bool().unsqueeze(-1)",
                },
            ),
            Wrong(
                "mexe nos estados recebidos",
                "hidden_states",
                changes={"hidden_states.masked_fill(": "hidden_states.masked_fill_("},
            ),
        ),
    ),
    "02_revocacao": Exercise(
        right=RECALL_RIGHT,
        wrong=(
            Wrong("soma a coluna", "dá a precisão", changes={"sum(matrix[i])": "sum(row[i] for row in matrix)"}),
            Wrong("divide pelo total", "e não por todos", changes={"sum(matrix[i])": "sum(map(sum, matrix))"}),
            Wrong("divide sem olhar", "ZeroDivisionError", changes={" if total else None": ""}),
            Wrong("zero no lugar de None", "Sem textos da classe", changes={"if total else None": "if total else 0.0"}),
            Wrong(
                "a ausente pesa na média",
                "não entra na média como zero",
                changes={"/ len(existing)": "/ len(recalls)"},
            ),
            Wrong("a revocação de zero não conta", "entra na média", changes={"if recall is not None": "if recall"}),
            Wrong(
                "a acurácia",
                "É a acurácia",
                changes={"sum(existing) / len(existing)": "sum(matrix[k][k] for k in (0, 1)) / sum(map(sum, matrix))"},
            ),
            Wrong("sem revocações, zero", "não há média", changes={"if existing else None": "if existing else 0.0"}),
        ),
    ),
    "02_comparacao": Exercise(
        right=COMPARE_RIGHT,
        wrong=(
            Wrong(
                "a acurácia",
                "É a acurácia",
                changes={
                    'balanced_accuracy_score(labels["validation"], answers)': (
                        'np.mean(np.array(labels["validation"]) == answers)'
                    )
                },
            ),
            Wrong(
                "a acurácia no teste",
                "É a acurácia",
                changes={
                    'balanced_accuracy_score(labels["test"], answers)': 'np.mean(np.array(labels["test"]) == answers)'
                },
            ),
            Wrong(
                "troca os argumentos",
                "estão trocados",
                changes={'score(labels["validation"], answers)': 'score(answers, labels["validation"])'},
            ),
            Wrong(
                "escolhe no teste",
                "a escolha se faz na validação",
                changes={'inputs["validation"]': 'inputs["test"]', 'labels["validation"]': 'labels["test"]'},
            ),
            Wrong(
                "no empate, a última",
                "No empate",
                changes={"max(scores, key=scores.get)": "max(reversed(scores), key=scores.get)"},
            ),
            Wrong("a pior", "A de maior medida", changes={"max(scores": "min(scores"}),
            Wrong("sem cópia", "use clone", changes={"clone(classifier)": "classifier"}),
            Wrong("não treina", "NotFittedError", changes={'.fit(inputs["train"], labels["train"])': ""}),
            Wrong(
                "leva todas ao teste",
                "features",
                changes={'labels["train"])\n': 'labels["train"])\n        fitted[name].predict(inputs["test"])\n'},
            ),
            Wrong(
                "treina de novo com a validação",
                "A validação entrou no treino",
                changes={
                    'answers = fitted[best].predict(candidates[best][1]["test"])': (
                        'joined = {part: list(candidates[best][1][part]) for part in ("train", "validation")}\n'
                        '    known = [*labels["train"], *labels["validation"]]\n'
                        '    model = clone(candidates[best][0]).fit([*joined["train"], *joined["validation"]], known)\n'
                        '    answers = model.predict(candidates[best][1]["test"])'
                    )
                },
            ),
            Wrong(
                "a medida da validação no lugar da do teste",
                "É a medida da validação",
                changes={'"test": float(balanced_accuracy_score(labels["test"], answers))': '"test": scores[best]'},
            ),
        ),
    ),
}

SURVIVORS = {}
