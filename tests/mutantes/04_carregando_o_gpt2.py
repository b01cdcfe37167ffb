"""Soluções da lição 04 que os testes dela têm de reprovar, com a mensagem de cada erro, e as certas, que aprovam."""

from tests.mutants import Exercise, Wrong

COUNT_RIGHT = """
def count_by_formula(cfg, tied=True):
    width = cfg["emb_dim"]

    def linear(n_in, n_out, bias=True):
        return n_in * n_out + (n_out if bias else 0)

    parts = dict.fromkeys(("head", "norms", "feed_forward", "attention"), 0)
    parts["embeddings"] = width * (cfg["context_length"] + cfg["vocab_size"])
    for _ in range(cfg["n_layers"]):
        for _ in ("consulta", "chave", "valor"):
            parts["attention"] += linear(width, width, cfg["qkv_bias"])
        parts["attention"] += linear(width, width)
        parts["feed_forward"] += linear(width, 4 * width) + linear(4 * width, width)
        parts["norms"] += 4 * width
    parts["norms"] += 2 * width
    if not tied:
        parts["head"] = linear(width, cfg["vocab_size"], bias=False)
    parts["total"] = sum(parts.values())
    return parts
"""

MASK_RIGHT = """
def attention_mask(lengths, n_tokens, window=None):
    if window is not None and window <= 0:
        raise ValueError("a janela precisa de ao menos uma posição")
    rows = []
    for length in lengths:
        mask = torch.eye(n_tokens, dtype=torch.bool)
        for i in range(n_tokens - length, n_tokens):
            first = n_tokens - length
            if window is not None:
                first = max(first, i + 1 - window)
            mask[i, first : i + 1] = True
        rows.append(mask)
    return torch.stack(rows)
"""

ATTEND_RIGHT = """
import math


def attend(queries, keys, values, mask):
    scores = torch.einsum("bid,bjd->bij", queries, keys) / math.sqrt(keys.size(-1))
    scores = torch.where(mask, scores, torch.tensor(float("-inf")))
    log_total = torch.logsumexp(scores, dim=2, keepdim=True)
    weights = torch.where(mask, torch.exp(scores - log_total), torch.tensor(0.0))
    return [torch.einsum("bij,bje->bie", weights, values), weights]
"""

GENERATE_RIGHT = """
@torch.inference_mode()
def write_until_end(model, ids, max_new_tokens, context_length, eos_id=50256):
    room = context_length - ids.size(1)
    if room < 0:
        raise ValueError("o texto não cabe no contexto")
    training = model.training
    model.eval()
    try:
        written = ids[0].tolist()
        for _ in range(min(room, max_new_tokens)):
            logits = model(torch.tensor([written]))
            token = int(torch.argmax(logits[0, -1]))
            if token == eos_id:
                return written[ids.size(1) :], "fim"
            written.append(token)
        return written[ids.size(1) :], "limite"
    finally:
        model.train(training)
"""

PERPLEXITY_RIGHT = """
import math


def text_perplexity(text, model, tokenizer, context_length):
    ids = tokenizer.encode_ordinary(text)
    if len(ids) <= 1:
        raise ValueError(f"{text} é curto demais")
    losses = []
    for start in range(0, len(ids) - 1, context_length):
        piece = ids[start : start + context_length + 1]
        with torch.no_grad():
            probabilities = model(torch.tensor([piece[:-1]])).softmax(dim=-1)[0]
        for position, target in enumerate(piece[1:]):
            losses.append(-math.log(probabilities[position, target].item()))
    return math.exp(sum(losses) / len(losses)), len(losses)
"""

EXERCISES = {
    "04_parametros": Exercise(
        right=COUNT_RIGHT,
        wrong=(
            Wrong("esquece as posições", "a tabela das posições", changes={" + N * C,": ","}),
            Wrong(
                "esquece todos os vieses da atenção",
                "o da saída, sempre",
                changes={' + C + 3 * C * cfg["qkv_bias"]': ""},
            ),
            Wrong("esquece qkv_bias", "também têm viés", changes={' + 3 * C * cfg["qkv_bias"]': ""}),
            Wrong("põe sempre o viés de qkv_bias", "qkv_bias=False", changes={'3 * C * cfg["qkv_bias"]': "3 * C"}),
            Wrong(
                "esquece a projeção de saída",
                "projeção de saída da atenção",
                changes={"4 * C * C + C + 3": "3 * C * C + 3"},
            ),
            Wrong("conta um bloco de atenção", "um bloco só", changes={"L * (4 * C * C + C": "1 * (4 * C * C + C"}),
            Wrong("conta um bloco da rede", "um bloco só", changes={"L * (C * 4 * C": "1 * (C * 4 * C"}),
            Wrong(
                "esquece os vieses da rede",
                "vieses da rede",
                changes={"C * 4 * C + 4 * C + 4 * C * C + C": "8 * C * C"},
            ),
            Wrong("esquece a norma final", "a norma final", changes={"(2 * L + 1)": "(2 * L)"}),
            Wrong(
                "só a escala das normas", "escala e deslocamento", changes={"(2 * L + 1) * 2 * C": "(2 * L + 1) * C"}
            ),
            Wrong("conta a cabeça ligada", "não tem parâmetros seus", changes={"0 if tied else C * V": "C * V"}),
            Wrong("nunca conta a cabeça", "tied=False, head", changes={"0 if tied else C * V": "0"}),
            Wrong("esquece o total", "esperava as chaves", changes={' | {"total": sum(counts.values())}': ""}),
            Wrong(
                "multiplica pelas cabeças",
                "attention",
                changes={"L * (4 * C * C + C": 'cfg["n_heads"] * L * (4 * C * C + C'},
            ),
            Wrong(
                "cria o modelo e conta",
                "GPTModel é o que este exercício recria",
                code="""
def count_by_formula(cfg, tied=True):
    counts = count_parts(GPTModel(cfg))
    return counts | {"total": sum(counts.values())}
""",
            ),
            Wrong(
                "muda a configuração recebida",
                "mexe no que recebeu",
                changes={"    V, N, C, L = cfg": '    cfg["drop_rate"] = 1.0\n    V, N, C, L = cfg'},
            ),
        ),
    ),
    "04_mascara": Exercise(
        right=MASK_RIGHT,
        wrong=(
            Wrong(
                "a máscara ao contrário",
                "Está ao contrário",
                changes={"return sees | (i == j)": "return ~(sees | (i == j))"},
            ),
            Wrong(
                "preenchimento à direita",
                "o preenchimento está à esquerda",
                changes={
                    "start = n_tokens - torch.tensor(lengths)": "stop = torch.tensor(lengths)",
                    "(j <= i) & (j >= start)": "(j <= i) & (j < stop) & (i < stop)",
                },
            ),
            Wrong(
                "olha para o preenchimento",
                "olhando para o preenchimento",
                changes={" & (j >= start)": " & (start > -1)"},
            ),
            Wrong("olha para o futuro", "Compare linha por linha", changes={"(j <= i) & ": ""}),
            Wrong(
                "linhas e colunas trocadas",
                "Linhas e colunas se trocaram",
                changes={"(i == j)": "(i == j)).mT", "return sees": "return (sees"},
            ),
            Wrong("a janela conta um a mais", "ela e mais uma", changes={"i - j < window": "i - j <= window"}),
            Wrong("a janela não faz nada", "ela e mais uma", changes={"sees = sees & (i - j < window)": "pass"}),
            Wrong(
                "preenchimento sem ninguém",
                "Compare linha por linha",
                changes={"return sees | (i == j)": "return sees"},
            ),
            Wrong(
                "devolve inteiros",
                "Uma comparação de tensores já é torch.bool",
                changes={"return sees | (i == j)": "return (sees | (i == j)).int()"},
            ),
            Wrong(
                "uma máscara para todas",
                "a forma (2, 4, 4)",
                changes={"return sees | (i == j)": "return (sees | (i == j))[0]"},
            ),
            Wrong("aceita janela 0", "deveria levantar ValueError", changes={"window < 1": "window < 0"}),
            Wrong("recusa a janela 1", "parou com ValueError", changes={"window < 1": "window < 2"}),
            Wrong(
                "janela 0 vira sem janela",
                "deveria levantar ValueError",
                changes={"window is not None and window < 1": "False"},
            ),
            Wrong("esquece o return", "faltou o return", changes={"return sees | (i == j)": "sees | (i == j)"}),
        ),
    ),
    "04_atencao": Exercise(
        right=ATTEND_RIGHT,
        wrong=(
            Wrong("não divide", "Faltou dividir por √D", changes={" / queries.shape[-1] ** 0.5": ""}),
            Wrong("divide por D", "Confira a ordem", changes={" ** 0.5": ""}),
            Wrong("divide por √T", "Confira a ordem", changes={"queries.shape[-1]": "queries.shape[-2]"}),
            Wrong(
                "esquece a máscara",
                "A máscara não fez diferença",
                changes={"masked_fill(~mask, -torch.inf)": "clone()"},
            ),
            Wrong("a máscara ao contrário", "A máscara está ao contrário", changes={"~mask": "mask"}),
            Wrong(
                "a máscara depois do softmax",
                "Aplique a máscara antes do softmax",
                code="""
def attend(queries, keys, values, mask):
    powers = (queries @ keys.mT / queries.shape[-1] ** 0.5).exp()
    weights = powers / powers.sum(dim=-1, keepdim=True) * mask
    return weights @ values, weights
""",
            ),
            Wrong(
                "exp sem tirar a maior nota",
                "Tire de cada linha a maior nota",
                code="""
def attend(queries, keys, values, mask):
    powers = (queries @ keys.mT / queries.shape[-1] ** 0.5).exp() * mask
    weights = torch.nan_to_num(powers / powers.sum(dim=-1, keepdim=True))
    return weights @ values, weights
""",
            ),
            Wrong(
                "tira a maior nota de antes da máscara",
                "a maior das que a máscara deixa ver",
                code="""
def attend(queries, keys, values, mask):
    scores = queries @ keys.mT / queries.shape[-1] ** 0.5
    powers = (scores - scores.amax(dim=-1, keepdim=True)).exp() * mask
    weights = torch.nan_to_num(powers / powers.sum(dim=-1, keepdim=True))
    return weights @ values, weights
""",
            ),
            Wrong("linha toda escondida vira nan", "os pesos e a saída são 0", changes={".nan_to_num(0.0)": ""}),
            Wrong("o softmax pelas colunas", "Confira a ordem", changes={"powers.sum(dim=-1": "powers.sum(dim=-2"}),
            Wrong("não transpõe as chaves", "parou com RuntimeError", changes={"keys.transpose(-2, -1)": "keys"}),
            Wrong(
                "devolve só a saída",
                "os 2 valores (context, weights)",
                changes={"return weights @ values, weights": "return weights @ values"},
            ),
            Wrong(
                "troca a ordem do retorno",
                "esperava a forma",
                changes={"return weights @ values, weights": "return weights, weights @ values"},
            ),
            Wrong(
                "muda as consultas",
                "Trabalhe em cópias",
                changes={"    scores = queries @": "    queries.add_(0.5)\n    scores = queries @"},
            ),
            Wrong(
                "usa o softmax pronto",
                "torch.softmax é o que este exercício recria",
                code="""
def attend(queries, keys, values, mask):
    scores = (queries @ keys.mT / queries.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf)
    weights = torch.softmax(scores, dim=-1).nan_to_num(0.0)
    return weights @ values, weights
""",
            ),
            Wrong(
                "usa o método softmax",
                "torch.Tensor.softmax é o que este exercício recria",
                code="""
def attend(queries, keys, values, mask):
    scores = (queries @ keys.mT / queries.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1).nan_to_num(0.0)
    return weights @ values, weights
""",
            ),
            Wrong(
                "chega ao softmax pelo softmin",
                "torch.nn.functional.softmin é o que este exercício recria",
                code="""
def attend(queries, keys, values, mask):
    scores = (queries @ keys.mT / queries.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf)
    weights = F.softmin(-scores, dim=-1).nan_to_num(0.0)
    return weights @ values, weights
""",
            ),
            Wrong(
                "usa a operação fundida",
                "scaled_dot_product_attention é o que este exercício recria",
                code="""
from torch.nn.functional import scaled_dot_product_attention as ready


def attend(queries, keys, values, mask):
    eye = torch.eye(queries.shape[1]).expand(len(queries), -1, -1)
    return ready(queries, keys, values, attn_mask=mask), ready(queries, keys, eye, attn_mask=mask)
""",
            ),
        ),
    ),
    "04_geracao": Exercise(
        right=GENERATE_RIGHT,
        wrong=(
            Wrong(
                "devolve o texto inteiro",
                "Devolva só os tokens novos",
                changes={"return new_ids, reason": "return ids[0].tolist(), reason"},
            ),
            Wrong(
                "põe o fim no resultado",
                "não entra em new_ids",
                changes={'reason = "fim"': 'new_ids.append(eos_id)\n                reason = "fim"'},
            ),
            Wrong("não para no fim", "new_ids", changes={"next_id.item() == eos_id": "False"}),
            Wrong(
                "passa do contexto",
                "São 6 tokens ao todo",
                changes={"ids.shape[1] < context_length": "ids.shape[1] <= context_length"},
            ),
            Wrong(
                "a janela desliza",
                "6, 99",
                changes={"ids.shape[1] < context_length": "True", "model(ids)[": "model(ids[:, -context_length:])["},
            ),
            Wrong("ignora max_new_tokens", "new_ids", changes={"len(new_ids) < max_new_tokens and ": ""}),
            Wrong(
                "não passa ao modo de avaliação", "o modelo em modo de avaliação", changes={"    model.eval()\n": ""}
            ),
            Wrong(
                "deixa o modelo em avaliação",
                "Devolva o modelo ao modo",
                changes={"    model.train(was_training)\n": ""},
            ),
            Wrong(
                "deixa o modelo em treino",
                "Devolva o modelo ao modo",
                changes={"model.train(was_training)": "model.train()"},
            ),
            Wrong(
                "calcula gradientes", "Use torch.no_grad() ao gerar", changes={"torch.no_grad()": "torch.enable_grad()"}
            ),
            Wrong(
                "a razão é sempre limite",
                "só quando o modelo escolhe eos_id",
                changes={'                reason = "fim"\n': ""},
            ),
            Wrong(
                "recusa o texto que enche o contexto",
                "parou com ValueError",
                changes={"if ids.shape[1] > context_length": "if ids.shape[1] >= context_length"},
            ),
            Wrong(
                "aceita texto longo demais",
                "deveria levantar ValueError",
                changes={"if ids.shape[1] > context_length": "if False"},
            ),
            Wrong(
                "para num fim que já estava no texto",
                "new_ids",
                changes={"next_id.item() == eos_id": "next_id.item() == eos_id or eos_id in ids"},
            ),
            Wrong("usa a primeira posição", "última posição", changes={"[:, -1:]": "[:, :1]"}),
            Wrong(
                "devolve tensores",
                "esperava um número inteiro",
                changes={"new_ids.append(next_id.item())": "new_ids.append(next_id)"},
            ),
            Wrong(
                "devolve só os ids",
                "os 2 valores (new_ids, reason)",
                changes={"return new_ids, reason": "return new_ids"},
            ),
            Wrong("outro padrão de eos_id", "O padrão de eos_id é 50256", changes={"eos_id=50256": "eos_id=0"}),
            Wrong(
                "junta no tensor recebido",
                "mexe no que recebeu",
                changes={"ids = torch.cat([ids, next_id], dim=1)": "ids.set_(torch.cat([ids, next_id], dim=1))"},
            ),
            Wrong(
                "chama a função da biblioteca",
                "generate_text_simple é o que este exercício recria",
                code="""
def write_until_end(model, ids, max_new_tokens, context_length, eos_id=50256):
    training = model.training
    model.eval()
    new = generate_text_simple(model, ids, min(max_new_tokens, context_length - ids.shape[1]), context_length)
    model.train(training)
    new = new[0, ids.shape[1] :].tolist()
    return (new[: new.index(eos_id)], "fim") if eos_id in new else (new, "limite")
""",
            ),
        ),
    ),
    "04_perplexidade": Exercise(
        right=PERPLEXITY_RIGHT,
        wrong=(
            Wrong(
                "devolve a perda",
                "Esta é a perda média",
                changes={"torch.tensor(total / len(targets)).exp().item()": "total / len(targets)"},
            ),
            Wrong(
                "a média das médias",
                "e não sobre os pedaços",
                code="""
def text_perplexity(text, model, tokenizer, context_length):
    ids = torch.tensor(tokenizer.encode(text, disallowed_special=()))
    if len(ids) < 2:
        raise ValueError(text)
    pieces = zip(ids[:-1].split(context_length), ids[1:].split(context_length))
    with torch.no_grad():
        losses = [F.cross_entropy(model(inputs[None])[0], targets) for inputs, targets in pieces]
    return torch.stack(losses).mean().exp().item(), len(ids) - 1
""",
            ),
            Wrong("divide pelos tokens", "e não de tokens", changes={"total / len(targets)": "total / len(ids)"}),
            Wrong(
                "conta todos os tokens",
                "menos o primeiro",
                changes={".exp().item(), len(targets)": ".exp().item(), len(ids)"},
            ),
            Wrong(
                "não desloca os alvos",
                "Confira os pedaços e os alvos",
                changes={"ids[:-1], ids[1:]": "ids[1:], ids[1:]"},
            ),
            Wrong(
                "não corta em pedaços",
                "esperava de 1 a 5 tokens",
                changes={
                    "inputs.split(context_length)": "inputs.split(10**6)",
                    "targets.split(context_length)": "targets.split(10**6)",
                },
            ),
            Wrong(
                "mede só o primeiro pedaço",
                "Confira os pedaços",
                changes={', reduction="sum").item()\n': ', reduction="sum").item()\n            break\n'},
            ),
            Wrong("só o último pedaço", "Confira os pedaços", changes={"total += ": "total = "}),
            Wrong("aceita um token só", "deveria citar Hi", changes={"len(ids) < 2": "len(ids) < 1"}),
            Wrong(
                "o fim do texto é especial", "Encountered text corresponding", changes={", disallowed_special=()": ""}
            ),
            Wrong("a marca vira 50256", "n_predicted", changes={"disallowed_special=()": 'allowed_special="all"'}),
            Wrong(
                "calcula gradientes", "Use torch.no_grad() ao medir", changes={"torch.no_grad()": "torch.enable_grad()"}
            ),
            Wrong("devolve tensor", "esperava um número", changes={".exp().item(), len": ".exp(), len"}),
            Wrong(
                "devolve só a perplexidade",
                "os 2 valores (perplexity, n_predicted)",
                changes={", len(targets)\n": "\n"},
            ),
            Wrong(
                "esquece o lote",
                "esperava a forma (mensagens, tokens)",
                changes={"model(chunk.unsqueeze(0))[0]": "model(chunk)"},
            ),
            Wrong(
                "pedaços que se sobrepõem nos alvos",
                "n_predicted",
                code="""
def text_perplexity(text, model, tokenizer, context_length):
    ids = torch.tensor(tokenizer.encode(text, disallowed_special=()))
    if len(ids) < 2:
        raise ValueError(text)
    losses = []
    with torch.no_grad():
        for piece in ids.split(context_length):
            losses.append(F.cross_entropy(model(piece[None])[0, :-1], piece[1:], reduction="none"))
    losses = torch.cat(losses)
    return losses.mean().exp().item(), len(losses)
""",
            ),
        ),
    ),
}

SURVIVORS = {
    (
        "04_mascara",
        "sees = (j <= i) & (j >= start) → sees = (j < i) & (j >= start)",
    ): "a diagonal é acrescentada na última linha",
    (
        "04_atencao",
        "scores = queries @ keys.transpose(-2, -1) / queries.shape[-1] ** 0.5 → "
        "scores = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5",
    ): "trocar a última dimensão com a penúltima é trocar a penúltima com a última",
    (
        "04_perplexidade",
        "for chunk, expected in zip(inputs.split(context_length), targets.split(context_length), strict=True): → "
        "for chunk, expected in zip(inputs.split(context_length), targets.split(context_length)):",
    ): "entradas e alvos têm sempre o mesmo número de pedaços",
    (
        "04_perplexidade",
        "for chunk, expected in zip(inputs.split(context_length), targets.split(context_length), strict=True): → "
        "for chunk, expected in zip(inputs.split(context_length), targets.split(context_length), strict=False):",
    ): "entradas e alvos têm sempre o mesmo número de pedaços",
    (
        "04_perplexidade",
        "total += F.cross_entropy(model(chunk.unsqueeze(0))[0], expected, reduction='sum').item() → "
        "total += F.cross_entropy(model(chunk.unsqueeze(0))[-1], expected, reduction='sum').item()",
    ): "num lote de um texto, o primeiro e o último são o mesmo",
}
