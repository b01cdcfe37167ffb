"""Soluções da lição 05 que os testes dela têm de reprovar, com a mensagem de cada erro, e as certas, que aprovam."""

from tests.mutants import Exercise, Wrong

HEAD_RIGHT = """
def swap_head(model, num_classes, seed=123):
    if num_classes <= 1:
        raise ValueError(f"com {num_classes} classe não há o que escolher")
    old, state = model.out_head, torch.random.get_rng_state()
    torch.manual_seed(seed)
    model.out_head = torch.nn.Linear(old.weight.shape[1], num_classes, bias=True)
    torch.random.set_rng_state(state)
    model.out_head.to(old.weight.dtype).to(old.weight.device)
    return old
"""

END_RIGHT = """
def train_only_the_end(model, n_blocks):
    total, trainable, layers = 0, 0, len(model.trf_blocks)
    if n_blocks < 0 or n_blocks > layers:
        raise ValueError(f"{n_blocks} blocos, de {layers}")
    last = {str(layer) for layer in range(layers - n_blocks, layers)}
    for name, param in model.named_parameters():
        first, second = name.split(".")[:2]
        param.requires_grad_(first in ("final_norm", "out_head") or (first == "trf_blocks" and second in last))
        total += param.numel()
        trainable += param.numel() * param.requires_grad
    return [trainable, total]
"""

EFFECT_RIGHT = """
@torch.no_grad()
def append_effect(model, ids, extra_ids):
    def measure(causal):
        for block in model.trf_blocks:
            block.att.is_causal = causal
        try:
            change = model(torch.hstack([ids, extra_ids]))[0, : ids.size(1)] - model(ids)[0]
        finally:
            for block in model.trf_blocks:
                block.att.is_causal = True
        return torch.maximum(change.max(dim=1).values, -change.min(dim=1).values)

    without_mask = measure(False)
    return [measure(True), without_mask]
"""

LAST_RIGHT = """
def last_logits(model, input_ids, pad_token_id=50256):
    with torch.inference_mode():
        logits = model(input_ids).clone()
    chosen = []
    for row, ids in enumerate(input_ids.tolist()):
        position = len(ids) - 1
        while position > 0 and ids[position] == pad_token_id:
            position -= 1
        chosen.append(logits[row, position])
    return logits[:, -1], torch.stack(chosen)
"""

DECIDE_RIGHT = """
def decide(logits, threshold=None):
    if threshold is None:
        return logits.max(dim=1)[1]
    if threshold <= 0 or threshold >= 1:
        raise ValueError(f"{threshold} não é um limiar")
    limit = torch.logit(torch.tensor(threshold, dtype=torch.float64))
    difference = logits.double() @ torch.tensor([-1.0, 1.0], dtype=torch.float64)
    return torch.where(difference < limit, 0, 1)
"""

EXERCISES = {
    "05_cabeca": Exercise(
        right=HEAD_RIGHT,
        wrong=(
            Wrong("deixa a cabeça em float32", "Use .to(dtype=…)", changes={", dtype=old.weight.dtype": ""}),
            Wrong("deixa a cabeça na CPU", "Veja .to(device=…)", changes={"device=old.weight.device, ": ""}),
            Wrong(
                "sorteia no tipo do modelo",
                "crie em float32 na CPU",
                changes={
                    "torch.nn.Linear(old.in_features, num_classes)": (
                        "torch.nn.Linear(old.in_features, num_classes, dtype=old.weight.dtype)"
                    )
                },
            ),
            Wrong(
                "como na aula, com o gerador global",
                "o gerador global mudou",
                changes={
                    "    with torch.random.fork_rng():\n        torch.manual_seed(seed)\n        new": (
                        "    torch.manual_seed(seed)\n    new"
                    )
                },
            ),
            Wrong("esquece a semente", "Semeie antes de criar", changes={"        torch.manual_seed(seed)\n": ""}),
            Wrong(
                "a semente sempre 123", "Use a semente", changes={"torch.manual_seed(seed)": "torch.manual_seed(123)"}
            ),
            Wrong("a largura do modelo da aula", "a largura da antiga", changes={"old.in_features": "768"}),
            Wrong(
                "sem viés", "não tem viés", changes={"num_classes)\n    model": "num_classes, bias=False)\n    model"}
            ),
            Wrong(
                "sempre duas classes", "use num_classes", changes={"old.in_features, num_classes": "old.in_features, 2"}
            ),
            Wrong("devolve a nova", "Guarde-a antes de trocar", changes={"return old": "return model.out_head"}),
            Wrong("não devolve nada", "faltou o return", changes={"return old": "old"}),
            Wrong("não troca", "atribua a nova a model.out_head", changes={"model.out_head = new": "new = new"}),
            Wrong(
                "congela a nova também",
                "a cabeça nova não é treinável",
                changes={"    return old": "    model.out_head.requires_grad_(False)\n    return old"},
            ),
            Wrong(
                "congela o modelo inteiro",
                "Só a cabeça é trocada",
                changes={"    old = model": "    model.requires_grad_(False)\n    old = model"},
            ),
            Wrong("aceita uma classe", "deveria levantar ValueError", changes={"num_classes < 2": "num_classes < 1"}),
            Wrong(
                "confere depois de trocar",
                "Confira antes de trocar",
                code="""
def swap_head(model, num_classes, seed=123):
    old = model.out_head
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        new = torch.nn.Linear(old.in_features, max(1, num_classes))
    model.out_head = new.to(old.weight)
    if num_classes < 2:
        raise ValueError(f"{num_classes} classes")
    return old
""",
            ),
            Wrong(
                "chama a função da biblioteca",
                "replace_output_head é o que este exercício recria",
                code="""
from llmdefinitions import replace_output_head


def swap_head(model, num_classes, seed=123):
    old = model.out_head
    with torch.random.fork_rng():
        replace_output_head(model, num_classes, seed)
    return old
""",
            ),
        ),
    ),
    "05_congelar": Exercise(
        right=END_RIGHT,
        wrong=(
            Wrong(
                "não congela nada antes",
                "Nada foi congelado",
                changes={
                    "    for param in model.parameters():\n        param.requires_grad = False\n": "",
                },
            ),
            Wrong(
                "congela a camada, e não os parâmetros",
                "Nada foi congelado",
                changes={
                    "for param in model.parameters():\n        param": "for layer in model.modules():\n        layer"
                },
            ),
            Wrong("corta a partir de -0", "a lista inteira", changes={"n_layers - n_blocks :": "-n_blocks:"}),
            Wrong("esquece a norma final", "A norma final ou a cabeça", changes={"model.final_norm, ": ""}),
            Wrong("esquece a cabeça", "A norma final ou a cabeça", changes={", model.out_head)": ")"}),
            Wrong("os primeiros blocos", "São os últimos", changes={"[n_layers - n_blocks :]": "[:n_blocks]"}),
            Wrong("um bloco a mais", "n_trainable", changes={"[n_layers - n_blocks :]": "[n_layers - n_blocks - 1 :]"}),
            Wrong(
                "conta camadas, e não parâmetros",
                "Conte só os que têm requires_grad",
                changes={"param.numel() for param in params if": "1 for param in params if"},
            ),
            Wrong(
                "o total só dos treináveis",
                "O total conta os congelados",
                changes={"sum(param.numel() for param in params)": "n_trainable"},
            ),
            Wrong("aceita mais blocos que os do modelo", "deveria levantar", changes={" <= n_layers": " <= 99"}),
            Wrong("aceita um número negativo", "deveria levantar", changes={"0 <= n_blocks": "-9 <= n_blocks"}),
            Wrong("recusa todos os blocos", "parou com ValueError", changes={"<= n_layers": "< n_layers"}),
            Wrong(
                "o erro não diz o número",
                "deveria citar 4",
                changes={'f"n_blocks: esperava de 0 a {n_layers}; recebi {n_blocks}."': '"blocos demais"'},
            ),
            Wrong(
                "congela antes de conferir",
                "Confira n_blocks antes de congelar",
                changes={"    n_layers = len": "    model.requires_grad_(False)\n    n_layers = len"},
            ),
            Wrong(
                "chama a função da biblioteca",
                "é o que este exercício recria",
                code="""
from llmdefinitions import freeze, unfreeze_last_blocks


def train_only_the_end(model, n_blocks):
    freeze(model)
    unfreeze_last_blocks(model, n_blocks)
    return count_parameters(model, only_trainable=True), count_parameters(model)
""",
            ),
        ),
    ),
    "05_causalidade": Exercise(
        right=EFFECT_RIGHT,
        wrong=(
            Wrong(
                "deixa a máscara desligada",
                "A máscara ficou desligada",
                changes={"block.att.is_causal = True": "pass"},
            ),
            Wrong(
                "não desliga a máscara",
                "Desligou-a",
                changes={"for causal in (True, False)": "for causal in (True, True)"},
            ),
            Wrong(
                "liga e desliga só no primeiro e no último bloco",
                "Ligue a máscara em todos os blocos",
                changes={
                    "            for block in model.trf_blocks:\n                block.att.is_causal = causal": (
                        "            model.trf_blocks[-1].att.is_causal = causal\n"
                        "            model.trf_blocks[0].att.is_causal = causal"
                    )
                },
            ),
            Wrong(
                "não desliga no primeiro bloco",
                "a máscara desligada em todos os blocos",
                changes={"is_causal = causal": "is_causal = causal or block is model.trf_blocks[0]"},
            ),
            Wrong("troca a ordem dos resultados", "Ela estava ligada", changes={"(True, False)": "(False, True)"}),
            Wrong(
                "compara com as últimas posições",
                "Ela estava ligada",
                changes={"model(longer)[:, : ids.shape[1]]": "model(longer)[:, -ids.shape[1] :]"},
            ),
            Wrong(
                "a diferença sem o valor absoluto",
                "with",
                changes={".abs()": ""},
            ),
            Wrong("a média das classes", "A maior diferença absoluta", changes={"amax(dim=-1)": "mean(dim=-1)"}),
            Wrong("só a última posição", "a forma", changes={".amax(dim=-1)[0]": ".amax(dim=-1)[0, -1:].squeeze()"}),
            Wrong("esquece de tirar o lote", "esperava a forma (4,)", changes={".amax(dim=-1)[0]": ".amax(dim=-1)"}),
            Wrong(
                "religa sem finally",
                "veja finally",
                code="""
def append_effect(model, ids, extra_ids):
    effects = []
    for causal in (True, False):
        for block in model.trf_blocks:
            block.att.is_causal = causal
        with torch.no_grad():
            grown = model(torch.cat([ids, extra_ids], dim=1))[:, : ids.shape[1]]
            effects.append((model(ids) - grown).abs().amax(dim=-1)[0])
    for block in model.trf_blocks:
        block.att.is_causal = True
    return tuple(effects)
""",
            ),
            Wrong(
                "esconde o erro",
                "deveria levantar ZeroDivisionError",
                changes={"    finally:": "    except ZeroDivisionError:\n        pass\n    finally:"},
            ),
            Wrong(
                "guarda gradientes",
                "Use torch.no_grad()",
                changes={"with torch.no_grad():": "with torch.enable_grad():"},
            ),
            Wrong(
                "confia em que a máscara chegou ligada",
                "with_mask",
                changes={
                    "                block.att.is_causal = causal": (
                        "                block.att.is_causal = causal and block.att.is_causal"
                    )
                },
            ),
        ),
    ),
    "05_ultimo_token": Exercise(
        right=LAST_RIGHT,
        wrong=(
            Wrong(
                "as duas na última posição",
                "última posição do lote",
                changes={"logits[rows, positions]": "logits[:, -1, :]"},
            ),
            Wrong(
                "conta os que não são preenchimento",
                "no meio do texto",
                changes={
                    "torch.where(input_ids != pad_token_id, places, 0).amax(dim=1)": (
                        "((input_ids != pad_token_id).sum(dim=1) - 1).clamp(min=0)"
                    )
                },
            ),
            Wrong(
                "para no primeiro preenchimento",
                "no meio do texto",
                changes={
                    "torch.where(input_ids != pad_token_id, places, 0).amax(dim=1)": (
                        "torch.tensor([max(0, [*row, pad_token_id].index(pad_token_id) - 1) "
                        "for row in input_ids.tolist()])"
                    )
                },
            ),
            Wrong(
                "a mensagem vazia lê a última posição",
                "leia a posição 0",
                changes={"places, 0)": "places, -1)"},
            ),
            Wrong("esquece as linhas", "esperava a forma", changes={"logits[rows, positions]": "logits[:, positions]"}),
            Wrong(
                "uma posição antes",
                "Ache o último id",
                changes={"logits[rows, positions]": "logits[rows, positions - 1]"},
            ),
            Wrong(
                "a primeira posição",
                "É outputs[:, -1, :]",
                changes={"logits[:, -1, :], logits": "logits[:, 0, :], logits"},
            ),
            Wrong("o id de preenchimento fixo", "pad_token_id recebido", changes={"!= pad_token_id": "!= 50256"}),
            Wrong(
                "troca os dois",
                "last",
                changes={
                    "return logits[:, -1, :], logits[rows, positions]": (
                        "return logits[rows, positions], logits[:, -1, :]"
                    )
                },
            ),
            Wrong(
                "guarda gradientes",
                "Use torch.no_grad()",
                changes={"with torch.no_grad():": "with torch.enable_grad():"},
            ),
            Wrong(
                "chama a função da biblioteca",
                "frozen.real_lengths é o que este exercício recria",
                code="""
from llmdefinitions.frozen import real_lengths


def last_logits(model, input_ids, pad_token_id=50256):
    with torch.no_grad():
        logits = model(input_ids)
    return logits[:, -1], logits[torch.arange(len(input_ids)), real_lengths(input_ids, pad_token_id) - 1]
""",
            ),
        ),
    ),
    "05_decisao": Exercise(
        right=DECIDE_RIGHT,
        wrong=(
            Wrong("argmax do tensor inteiro", "procurou no tensor inteiro", changes={"argmax(dim=-1)": "argmax()"}),
            Wrong("argmax por coluna", "foi por coluna", changes={"argmax(dim=-1)": "argmax(dim=0)"}),
            Wrong("ignora o limiar", "O limiar não entrou", changes={"math.log(threshold / (1 - threshold))": "0"}),
            Wrong(
                "compara o logit com o limiar",
                "O limiar não entrou",
                changes={"math.log(threshold / (1 - threshold))": "threshold"},
            ),
            Wrong(
                "a razão invertida",
                "No logaritmo vai",
                changes={"threshold / (1 - threshold)": "(1 - threshold) / threshold"},
            ),
            Wrong("a comparação invertida", "ao contrário", changes={">= math": "< math"}),
            Wrong("maior, sem o igual", "igual ao limiar já é da classe 1", changes={">= math": "> math"}),
            Wrong("devolve True e False", "torch.bool", changes={".long()": ""}),
            Wrong("aceita o limiar 0", "estritamente entre 0 e 1", changes={"0 < threshold": "0 <= threshold"}),
            Wrong("aceita o limiar 1", "estritamente entre 0 e 1", changes={"threshold < 1": "threshold <= 1"}),
            Wrong("não recusa limiar nenhum", "estritamente entre 0 e 1", changes={"not 0 < threshold < 1": "False"}),
            Wrong(
                "só olha o logit do spam", "Você olhou só z₁", changes={"logits[:, 1] - logits[:, 0]": "logits[:, 1]"}
            ),
            Wrong(
                "calcula o softmax",
                "Tensor.softmax",
                changes={
                    "(logits[:, 1] - logits[:, 0] >= math.log(threshold / (1 - threshold)))": (
                        "(logits.softmax(dim=-1)[:, 1] >= threshold)"
                    )
                },
            ),
            Wrong(
                "chama a função da biblioteca",
                "predict_labels é o que este exercício recria",
                code="""
from llmdefinitions import predict_labels


def decide(logits, threshold=None):
    return predict_labels(logits, threshold)
""",
            ),
        ),
    ),
}

SURVIVORS = {
    (
        "05_causalidade",
        "effects.append((alone - grown).abs().amax(dim=-1)[0]) → "
        "effects.append((alone - grown).abs().amax(dim=-1)[-1])",
    ): "o lote tem uma mensagem só: a primeira é a última",
    (
        "05_ultimo_token",
        "places = torch.arange(input_ids.shape[1], device=input_ids.device) → "
        "places = torch.arange(input_ids.shape[1])",
    ): "na CPU, o dispositivo padrão já é o dos ids",
    (
        "05_ultimo_token",
        "rows = torch.arange(len(input_ids), device=input_ids.device) → rows = torch.arange(len(input_ids))",
    ): "na CPU, o dispositivo padrão já é o dos ids",
    (
        "05_decisao",
        "return logits.argmax(dim=-1) → return logits.argmax(dim=1)",
    ): "os logits têm duas dimensões: a última é a 1",
}
