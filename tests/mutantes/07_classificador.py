"""Soluções da lição 07 que os testes dela têm de reprovar, com a mensagem de cada erro, e as certas, que aprovam."""

from tests.mutants import Exercise, Wrong

CLASSIFY_RIGHT = """
def classify(text, model, tokenizer, max_length, max_chars=1000, label_names=("not spam", "spam")):
    if type(text) is not str:
        raise TypeError("text: isto não é um texto")
    size = len(text)
    if size > max_chars:
        raise ValueError(f"{size} caracteres é demais")
    if text.isspace() or size == 0:
        raise ValueError("não há o que classificar")
    positions, _ = model.pos_emb.weight.shape
    if max_length > positions or max_length < 1:
        raise ValueError(f"max_length = {max_length}, e o contexto é {positions}")
    ids = torch.full((1, max_length), 50256, device=next(model.parameters()).device)
    encoded = torch.tensor(tokenizer.encode_ordinary(text)[:max_length])
    ids[0, : len(encoded)] = encoded
    with torch.inference_mode():
        chances = torch.softmax(model.eval()(ids)[:, -1, :], dim=1)
    probability, label = chances.max(dim=1)
    return [label_names[label.item()], probability.item()]
"""

BATCH_RIGHT = """
@torch.no_grad()
def spam_probabilities(texts, model, tokenizer, max_length, batch_size=32):
    if not batch_size > 0:
        raise ValueError(f"um lote de {batch_size}?")
    encoded = [tokenizer.encode_ordinary(text)[:max_length] for text in texts]
    ids = torch.full((len(texts), max_length), 50256)
    for row, numbers in zip(ids, encoded, strict=True):
        row[: len(numbers)] = torch.tensor(numbers)
    model.eval()
    parts = [part for part in ids.split(batch_size) if len(part)]
    found = [torch.sigmoid(model(part)[:, -1] @ torch.tensor([-1.0, 1.0])) for part in parts]
    return torch.cat(found).tolist() if found else []
"""

THRESHOLD_RIGHT = """
def best_threshold(labels, probabilities, false_positive_cost, false_negative_cost):
    if len(labels) != len(probabilities) or len(labels) == 0:
        raise ValueError("listas de tamanhos diferentes, ou vazias")
    if false_positive_cost < 0 or false_negative_cost < 0:
        raise ValueError("preço negativo")

    def cost(threshold):
        total = 0
        for label, probability in zip(labels, probabilities):
            if probability >= threshold and label == 0:
                total += false_positive_cost
            if probability < threshold and label == 1:
                total += false_negative_cost
        return total

    threshold = min([*probabilities, math.inf], key=lambda limit: (cost(limit), -limit))
    return [threshold, cost(threshold)]
"""

DRIFT_RIGHT = """
def drift_alarms(reference, recent, limit=0.25, n_bins=5):
    def fractions(values, cuts):
        counts = [0.5] * n_bins
        for value in values:
            counts[sum(bool(cut <= value) for cut in cuts)] += 1
        return [count / sum(counts) for count in counts]

    found = {}
    for name in reference:
        old, new = list(reference[name]), list(recent.get(name, []))
        if not old or not new:
            raise ValueError(f"faltam valores de {name}")
        cuts = [np.quantile(old, step / n_bins) for step in range(1, n_bins)]
        pairs = zip(fractions(old, cuts), fractions(new, cuts))
        found[name] = float(sum((now - then) * math.log(now / then) for then, now in pairs))
    return {name: value for name, value in found.items() if value > limit}
"""

EXERCISES = {
    "07_classify": Exercise(
        right=CLASSIFY_RIGHT,
        wrong=(
            Wrong(
                "corta na largura, como a aula",
                "o corte, que não é na largura, shape[1]",
                changes={
                    "disallowed_special=())[:max_length]": (
                        "disallowed_special=())[: min(max_length, model.pos_emb.weight.shape[1])]"
                    )
                },
            ),
            Wrong("toma a largura pelo contexto", "max_length: esperava de 1 a 12", changes={"shape[0]": "shape[1]"}),
            Wrong(
                "devolve sempre a probabilidade do spam",
                "e não sempre a do spam",
                changes={"probabilities[label].item()": "probabilities[1].item()"},
            ),
            Wrong(
                "nomes trocados",
                "na posição 0, esperava 'not spam'",
                changes={"label_names[label]": "label_names[1 - label]"},
            ),
            Wrong(
                "devolve um tensor",
                "esperava um número",
                changes={"probabilities[label].item()": "probabilities[label]"},
            ),
            Wrong("devolve o logit", "recebi", changes={"logits.softmax(dim=-1)": "logits"}),
            Wrong(
                "não completa",
                "o preenchimento",
                changes={"    input_ids += [50256] * (max_length - len(input_ids))\n": ""},
            ),
            Wrong("completa com zeros", "o preenchimento", changes={"[50256]": "[0]"}),
            Wrong(
                "completa à esquerda",
                "o preenchimento",
                changes={
                    "input_ids += [50256] * (max_length - len(input_ids))": (
                        "input_ids = [50256] * (max_length - len(input_ids)) + input_ids"
                    )
                },
            ),
            Wrong("lê a primeira posição", "a posição lida", changes={"[0, -1]": "[0, 0]"}),
            Wrong("esquece model.eval()", "Veja model.eval()", changes={"    model.eval()\n": ""}),
            Wrong("para no <|endoftext|>", "disallowed special token", changes={", disallowed_special=()": ""}),
            Wrong("aceita None", "deveria levantar TypeError", changes={"not isinstance(text, str)": "text == 7"}),
            Wrong("aceita o texto em branco", "Não há o que classificar", changes={"not text.strip()": "not text"}),
            Wrong("recusa só os espaços", "Não há o que classificar", changes={"not text.strip()": "text.isspace()"}),
            Wrong("não limita", "deveria levantar ValueError", changes={"len(text) > max_chars": "False"}),
            Wrong("recusa o texto do tamanho exato", "o máximo é", changes={"len(text) > max_": "len(text) >= max_"}),
            Wrong(
                "conta sem os espaços",
                "Conte os caracteres do texto como veio",
                changes={"len(text) > max_chars": "len(text.strip()) > max_chars"},
            ),
            Wrong(
                "o limite sempre 1000",
                "Conte os caracteres do texto como veio",
                changes={"len(text) > max_chars": "len(text) > 1000"},
            ),
            Wrong("tira os espaços das pontas", "recebi", changes={"encode(text,": "encode(text.strip(),"}),
            Wrong(
                "aceita max_length zero",
                "O contexto é pos_emb.weight.shape[0]",
                changes={"1 <= max_length": "0 <= max_length"},
            ),
            Wrong(
                "chama a função da biblioteca",
                "score_texts é o que este exercício recria",
                code="""
def classify(text, model, tokenizer, max_length, max_chars=1000, label_names=("not spam", "spam")):
    if not text.strip():
        raise ValueError("vazio")
    score = next(llm.score_texts([text], model, tokenizer, "cpu", max_length))
    return label_names[score >= 0.5], max(score, 1 - score)
""",
            ),
        ),
    ),
    "07_lote": Exercise(
        right=BATCH_RIGHT,
        wrong=(
            Wrong(
                "uma a uma",
                "Chame o modelo uma vez por lote",
                changes={"range(0, len(texts), batch_size)": "range(len(texts))", "start + batch_size]": "start + 1]"},
            ),
            Wrong(
                "perde o último lote",
                "Uma por texto, mesmo no último lote",
                changes={"len(texts), batch_size)": "len(texts) - batch_size + 1, batch_size)"},
            ),
            Wrong(
                "tudo num lote só",
                "Chame o modelo uma vez por lote",
                changes={"range(0, len(texts), batch_size)": "[0] * bool(texts)", " : start + batch_size]": " :]"},
            ),
            Wrong(
                "completa até o mais longo do lote",
                "o preenchimento, até max_length",
                changes={"(max_length - len(ids))": "(min(max_length, max(1, *map(len, batch), 1)) - len(ids))"},
            ),
            Wrong("a probabilidade da classe 0", "e não da 0", changes={"[:, 1].tolist()": "[:, 0].tolist()"}),
            Wrong("devolve tensores", "esperava um número", changes={"[:, 1].tolist()": "[:, 1]"}),
            Wrong(
                "ordena e não desfaz",
                "a ordem não é a dos textos",
                changes={"return probabilities": "return sorted(probabilities)"},
            ),
            Wrong("completa com zeros", "o preenchimento", changes={"[50256]": "[0]"}),
            Wrong("esquece model.eval()", "model.eval()", changes={"    model.eval()\n": ""}),
            Wrong("para no <|endoftext|>", "disallowed special token", changes={", disallowed_special=()": ""}),
            Wrong("lê a primeira posição", "a posição lida", changes={"[:, -1]": "[:, 0]"}),
            Wrong("guarda gradientes", "Use torch.no_grad()", changes={"torch.no_grad()": "torch.enable_grad()"}),
            Wrong(
                "aceita lote de zero", "Um lote tem ao menos uma mensagem", changes={"batch_size < 1": "batch_size < 0"}
            ),
            Wrong("softmax entre as mensagens", "recebi", changes={"softmax(dim=-1)": "softmax(dim=0)"}),
            Wrong(
                "chama a função da biblioteca",
                "score_texts é o que este exercício recria",
                code="""
def spam_probabilities(texts, model, tokenizer, max_length, batch_size=32):
    return list(llm.score_texts(texts, model, tokenizer, "cpu", max_length))
""",
            ),
        ),
    ),
    "07_limiar": Exercise(
        right=THRESHOLD_RIGHT,
        wrong=(
            Wrong(
                "troca os preços",
                "Você trocou os preços",
                changes={
                    "false_positive_cost * false_positives + false_negative_cost * false_negatives": (
                        "false_negative_cost * false_positives + false_positive_cost * false_negatives"
                    )
                },
            ),
            Wrong("no empate, o menor", "No empate fica o maior limiar", changes={"cost <= best[1]": "cost < best[1]"}),
            Wrong(
                "esquece o infinito",
                "math.inf",
                changes={"sorted({*probabilities, math.inf})": "sorted(set(probabilities))"},
            ),
            Wrong(
                "não marca P igual ao limiar",
                "P igual ao limiar já é spam",
                changes={
                    "probability >= threshold": "probability > threshold",
                    "probability < threshold": "probability <= threshold",
                },
            ),
            Wrong(
                "a média, e não a soma",
                "É o custo total",
                changes={"return best": "return best[0], best[1] / len(labels)"},
            ),
            Wrong(
                "ordena a lista recebida",
                "trabalhe numa cópia",
                changes={"    best = None\n": "    best = None\n    probabilities.sort()\n"},
            ),
            Wrong(
                "uma grade de limiares",
                "math.inf",
                changes={"sorted({*probabilities, math.inf})": "[step / 100 for step in range(1, 100)]"},
            ),
            Wrong("aceita listas vazias", "As listas têm o mesmo tamanho", changes={"not labels or ": ""}),
            Wrong(
                "corta a lista mais longa",
                "As listas têm o mesmo tamanho",
                changes={" or len(labels) != len(probabilities)": "", ", strict=True": ""},
            ),
            Wrong("aceita preço negativo", "Um preço não pode ser negativo", changes={" < 0:": " < -1:"}),
            Wrong("recusa preço zero", "esperava preços", changes={" < 0:": " <= 0:"}),
            Wrong("devolve só o limiar", "os 2 valores", changes={"return best": "return best[0]"}),
            Wrong(
                "a fórmula, sem os dados",
                "Conte os dois erros com cada limiar",
                code="""
def best_threshold(labels, probabilities, false_positive_cost, false_negative_cost):
    return false_positive_cost / (false_positive_cost + false_negative_cost), 0
""",
            ),
            Wrong(
                "chama a função da biblioteca",
                "expected_cost é o que este exercício recria",
                code="""
def best_threshold(labels, probabilities, false_positive_cost, false_negative_cost):
    prices = false_positive_cost, false_negative_cost
    cost = {limit: llm.expected_cost(labels, probabilities, limit, *prices) for limit in probabilities}
    best = min(cost, key=lambda limit: (cost[limit], -limit))
    return best, cost[best] * len(labels)
""",
            ),
        ),
    ),
    "07_deriva": Exercise(
        right=DRIFT_RIGHT,
        wrong=(
            Wrong(
                "cortes das mensagens de agora",
                "cortes tirados das mensagens de agora",
                changes={
                    "np.searchsorted(cuts, sample,": (
                        "np.searchsorted(np.quantile(sample, np.arange(1, n_bins) / n_bins), sample,"
                    )
                },
            ),
            Wrong(
                "uma mensagem inteira por faixa",
                "Some meia mensagem",
                changes={"counts + 0.5": "counts + 1", "0.5 * n_bins": "n_bins"},
            ),
            Wrong("não soma a meia mensagem", "recebi", changes={"counts + 0.5": "counts", " + 0.5 * n_bins": ""}),
            Wrong("o divisor sem a meia mensagem", "Refaça a conta", changes={" + 0.5 * n_bins": ""}),
            Wrong("a faixa de baixo no empate", "veja side", changes={', side="right"': ""}),
            Wrong("só q no primeiro fator", "O primeiro fator é q − p", changes={"(now - before) *": "now *"}),
            Wrong("devolve todas", "Só entram as medidas acima do limite", changes={"psi > limit": "True"}),
            Wrong("o limite sempre 0,25", "só os PSI maiores que limit", changes={"psi > limit": "psi > 0.25"}),
            Wrong("maior ou igual", "Zero não é maior que zero", changes={"psi > limit": "psi >= limit"}),
            Wrong("sem minlength", "veja minlength", changes={", minlength=n_bins": ""}),
            Wrong(
                "sempre cinco faixas",
                "São n_bins faixas",
                changes={"np.arange(1, n_bins) / n_bins": "np.arange(1, 5) / 5"},
            ),
            Wrong(
                "ignora a medida que falta",
                "Sem valores nas duas épocas",
                changes={
                    '            raise ValueError(f"{name}: esperava valores nas duas épocas.")': "            continue"
                },
            ),
            Wrong("devolve os nomes", "esperava um dicionário", changes={"return alarms": "return list(alarms)"}),
            Wrong(
                "chama a função da biblioteca",
                "drift é o que este exercício recria",
                code="""
def drift_alarms(reference, recent, limit=0.25, n_bins=5):
    import pandas as pd

    table = llm.drift(*(pd.DataFrame({"x": values["chars"]}) for values in (reference, recent)))
    return dict(table["difference"])
""",
            ),
        ),
    ),
}

SURVIVORS = {
    (
        "07_classify",
        "logits = model(torch.tensor([input_ids], device=model.pos_emb.weight.device))[0, -1] → "
        "logits = model(torch.tensor([input_ids]))[0, -1]",
    ): "na CPU, o dispositivo padrão já é o do modelo",
    (
        "07_classify",
        "logits = model(torch.tensor([input_ids], device=model.pos_emb.weight.device))[0, -1] → "
        "logits = model(torch.tensor([input_ids], device=model.pos_emb.weight.device))[-1, -1]",
    ): "o lote tem uma mensagem só: a primeira é a última",
    (
        "07_classify",
        "probabilities = logits.softmax(dim=-1) → probabilities = logits.softmax(dim=-0)",
    ): "os logits de uma mensagem têm uma dimensão só: a última é a 0",
    (
        "07_limiar",
        "if min(false_positive_cost, false_negative_cost) < 0: → if min(false_negative_cost, false_positive_cost) < 0:",
    ): "o menor de dois números não depende da ordem em que são dados",
    (
        "07_limiar",
        "pairs = list(zip(labels, probabilities, strict=True)) → pairs = list(zip(labels, probabilities))",
    ): "os tamanhos já foram conferidos acima: são iguais",
    (
        "07_limiar",
        "pairs = list(zip(labels, probabilities, strict=True)) → "
        "pairs = list(zip(labels, probabilities, strict=False))",
    ): "os tamanhos já foram conferidos acima: são iguais",
    (
        "07_lote",
        "logits = model(torch.tensor(rows, device=model.pos_emb.weight.device))[:, -1] → "
        "logits = model(torch.tensor(rows))[:, -1]",
    ): "na CPU, o dispositivo padrão já é o do modelo",
    (
        "07_lote",
        "probabilities += logits.softmax(dim=-1)[:, 1].tolist() → "
        "probabilities += logits.softmax(dim=1)[:, 1].tolist()",
    ): "os logits têm duas dimensões: a última é a 1",
}
