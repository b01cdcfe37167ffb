"""Soluções da lição 01 que os testes dela têm de reprovar, com a mensagem de cada erro, e as certas, que aprovam."""

from tests.mutants import Exercise, Wrong

MASK_RIGHT = """
import torch


def build_example(prompt_ids, answer_ids, max_length, end_id, pad_id):
    input_ids = torch.full((max_length,), pad_id)
    labels = torch.full((max_length,), -100)
    whole = [*prompt_ids, *answer_ids, end_id][:max_length]
    start = len(prompt_ids)
    if start >= max_length:
        raise ValueError(f"com max_length {max_length} não sobra nada da resposta")
    input_ids[: len(whole)] = torch.tensor(whole)
    labels[start : len(whole)] = input_ids[start : len(whole)]
    return [input_ids, labels]
"""

MASK_BY_ID = """
def build_example(prompt_ids, answer_ids, max_length, end_id, pad_id):
    ids = (prompt_ids + answer_ids + [end_id] + [pad_id] * max_length)[:max_length]
    labels = [-100 if i < len(prompt_ids) or token == pad_id else token for i, token in enumerate(ids)]
    if all(label == -100 for label in labels):
        raise ValueError(f"max_length={max_length} não basta")
    return torch.tensor(ids), torch.tensor(labels)
"""

MASK_BY_PROMPT_IDS = """
def build_example(prompt_ids, answer_ids, max_length, end_id, pad_id):
    ids = (prompt_ids + answer_ids + [end_id])[:max_length]
    if len(prompt_ids) >= max_length:
        raise ValueError(f"max_length={max_length} não basta")
    labels = [-100 if token in prompt_ids else token for token in ids]
    missing = max_length - len(ids)
    return torch.tensor(ids + [pad_id] * missing), torch.tensor(labels + [-100] * missing)
"""

MASK_SHIFTED = """
def build_example(prompt_ids, answer_ids, max_length, end_id, pad_id):
    ids = (prompt_ids + answer_ids + [end_id])[:max_length]
    labels = ([-100] * len(prompt_ids) + answer_ids + [end_id])[1 : max_length + 1]
    if len(prompt_ids) >= max_length:
        raise ValueError(f"max_length={max_length} não basta")
    labels += [-100] * (max_length - len(labels))
    return torch.tensor(ids + [pad_id] * (max_length - len(ids))), torch.tensor(labels)
"""

MEMORY_RIGHT = """
def plan_memory(n_params, gpu_gb, optimizer="adamw", trainable_fraction=1.0):
    if trainable_fraction < 0 or trainable_fraction > 1:
        raise ValueError("fração fora de 0 a 1: " + str(trainable_fraction))
    if optimizer == "sgd":
        n_states = 0
    elif optimizer == "sgd_momentum":
        n_states = 1
    elif optimizer == "adamw":
        n_states = 2
    else:
        raise ValueError(f"não conheço o otimizador {optimizer}")
    billions = n_params / 10**9
    plan = {"fits": None, "total": 0.0, "weights": billions * 2}
    plan["gradients"] = billions * trainable_fraction * 2
    plan["master"] = plan["gradients"] * 2
    plan["optimizer"] = plan["master"] * n_states
    plan["total"] = plan["weights"] + plan["gradients"] + plan["master"] + plan["optimizer"]
    plan["fits"] = plan["total"] / gpu_gb <= 0.8
    return plan
"""

MEMORY_FROM_LIBRARY = """
from llmdefinitions import estimate_finetuning_memory


def plan_memory(n_params, gpu_gb, optimizer="adamw", trainable_fraction=1.0):
    parts = estimate_finetuning_memory(n_params, 2, optimizer, trainable_fraction, bytes_per_state=4)
    plan = {name: size / 1e9 for name, size in parts.items()}
    plan["master"] = 2 * plan["gradients"]
    plan["total"] += plan["master"]
    return plan | {"fits": plan["total"] <= 0.8 * gpu_gb}
"""

QUANTIZATION_RIGHT = """
import torch


def quantize_rows(weights, bits=8):
    if bits not in range(2, 9):
        raise ValueError(f"não sei quantizar em {bits} bits")
    top = 2 ** bits // 2 - 1
    scales = torch.ones(len(weights), 1)
    codes = torch.zeros(weights.shape, dtype=torch.int8)
    for i, row in enumerate(weights):
        biggest = max(row.max().item(), -row.min().item())
        if biggest > 0:
            scales[i, 0] = biggest / top
            codes[i] = torch.round(row / scales[i, 0])
    difference = weights - codes.float() * scales
    total = float((weights**2).sum()) ** 0.5
    return [codes, scales, float((difference**2).sum()) ** 0.5 / total if total > 0 else 0]
"""

QUANTIZATION_FROM_LIBRARY = """
from llmdefinitions import dequantize_absmax, quantize_absmax


def quantize_rows(weights, bits=8):
    codes, scales = quantize_absmax(weights, bits, weights.shape[1])
    error = (weights - dequantize_absmax(codes, scales)).norm() / weights.norm()
    return codes, scales, error.item()
"""

EXERCISES = {
    "01_mascara": Exercise(
        right=MASK_RIGHT,
        wrong=(
            Wrong(
                "o pedido entra na perda",
                "O pedido não deveria contar",
                changes={"[-100] * len(prompt_ids) + answer": "prompt_ids + answer"},
            ),
            Wrong(
                "o preenchimento entra na perda",
                "O preenchimento não deveria contar",
                changes={"labels + [-100] * missing": "labels + [pad_id] * missing"},
            ),
            Wrong(
                "nada é mascarado",
                "Nada foi mascarado",
                changes={
                    "[-100] * len(prompt_ids) + answer": "prompt_ids + answer",
                    "labels + [-100] * missing": "labels + [pad_id] * missing",
                },
            ),
            Wrong("mascara por pad_id, e o fim some junto", "Você comparou com pad_id?", code=MASK_BY_ID),
            Wrong(
                "corta e não confere o que sobra",
                "devolveu",
                changes={"len(prompt_ids) >= max_length": "len(prompt_ids) > 2 * max_length"},
            ),
            Wrong("mascara todo id que está no pedido", "conte posições", code=MASK_BY_PROMPT_IDS),
            Wrong("esquece o fim", "O token de fim conta", changes={"[*answer_ids, end_id]": "answer_ids"}),
            Wrong("desloca os rótulos", "Você deslocou os rótulos", code=MASK_SHIFTED),
            Wrong(
                "a máscara invertida",
                "A máscara está invertida",
                changes={"[-100] * len(prompt_ids) + answer": "prompt_ids + [-100] * len(answer)"},
            ),
            Wrong(
                "corta no começo",
                "é cortado no fim",
                changes={
                    "(prompt_ids + answer)[:max_length]": "(prompt_ids + answer)[-max_length:]",
                    "* len(prompt_ids) + answer)[:max_length]": "* len(prompt_ids) + answer)[-max_length:]",
                },
            ),
            Wrong(
                "não corta",
                "esperava a forma (4,); recebi (6,)",
                changes={
                    "(prompt_ids + answer)[:max_length]": "prompt_ids + answer",
                    "* len(prompt_ids) + answer)[:max_length]": "* len(prompt_ids) + answer)",
                },
            ),
            Wrong(
                "corta só input_ids",
                "é cortado no fim, nos dois",
                changes={"* len(prompt_ids) + answer)[:max_length]": "* len(prompt_ids) + answer)"},
            ),
            Wrong(
                "não completa",
                "esperava a forma (8,); recebi (6,)",
                changes={"missing = max_length - len(ids)": "missing = 0"},
            ),
            Wrong(
                "completa no começo",
                "pedido, resposta, fim, preenchimento",
                changes={
                    "ids + [pad_id] * missing": "[pad_id] * missing + ids",
                    "labels + [-100] * missing": "[-100] * missing + labels",
                },
            ),
            Wrong(
                "completa com o fim",
                "input_ids",
                changes={"ids + [pad_id] * missing": "ids + [end_id] * missing"},
            ),
            Wrong(
                "altera a lista da resposta",
                "trabalhe numa cópia",
                changes={"answer = [*answer_ids, end_id]": "answer = answer_ids; answer.append(end_id)"},
            ),
            Wrong(
                "altera a lista do pedido",
                "trabalhe numa cópia",
                changes={
                    "    answer = [*answer_ids, end_id]": (
                        "    answer, size = [*answer_ids, end_id], len(prompt_ids)\n    prompt_ids += answer"
                    ),
                    "(prompt_ids + answer)[:max_length]": "prompt_ids[:max_length]",
                    "[-100] * len(prompt_ids)": "[-100] * size",
                    "if len(prompt_ids) >=": "if size >=",
                },
            ),
            Wrong(
                "devolve listas",
                "esperava um tensor",
                changes={
                    "torch.tensor(ids + [pad_id] * missing)": "ids + [pad_id] * missing",
                    "torch.tensor(labels + [-100] * missing)": "labels + [-100] * missing",
                },
            ),
            Wrong(
                "devolve números reais",
                "esperava elementos torch.int64",
                changes={"torch.tensor(labels + [-100] * missing)": "torch.tensor(labels + [-100.0] * missing)"},
            ),
            Wrong(
                "devolve só input_ids",
                "os 2 valores (input_ids, labels)",
                changes={", torch.tensor(labels + [-100] * missing)": ""},
            ),
            Wrong(
                "aceita que nada conte",
                "deveria levantar ValueError",
                changes={"len(prompt_ids) >= max_length": "False"},
            ),
            Wrong(
                "aceita o pedido que enche o exemplo exatamente",
                "Não há o que aprender",
                changes={"len(prompt_ids) >= max_length": "len(prompt_ids) > max_length"},
            ),
            Wrong(
                "recusa quando algo é cortado",
                "parou com ValueError",
                changes={"len(prompt_ids) >= max_length": "len(prompt_ids + answer) > max_length"},
            ),
            Wrong(
                "o erro não diz o comprimento",
                "deveria citar",
                changes={'f"max_length={max_length}: o pedido': '"o pedido'},
            ),
        ),
    ),
    "01_abordagem": Exercise(
        right='respostas = {6: "b", 5: "A", 4: " d ", 3: "b", 2: "b", 1: "c"}',
        wrong=(
            Wrong(
                "dois casos errados",
                "os casos 2, 5 não conferem",
                code='respostas = {1: "c", 2: "b", 3: "b", 4: "d", 5: "b", 6: "b"}',
            ),
            Wrong("sempre a mesma", "não conferem", code='respostas = dict.fromkeys(range(1, 7), "b")'),
            Wrong(
                "uma letra que não existe",
                "respostas[3]: esperava uma destas letras",
                code='respostas = {1: "c", 2: "a", 3: "e", 4: "d", 5: "a", 6: "b"}',
            ),
            Wrong(
                "deixou um caso de fora",
                "Uma letra para cada caso, de 1 a 6",
                code='respostas = {1: "c", 2: "a", 3: "b", 4: "d", 5: "a"}',
            ),
            Wrong(
                "os casos como texto",
                "Uma letra para cada caso, de 1 a 6",
                code='respostas = {"1": "c", "2": "a", "3": "b", "4": "d", "5": "a", "6": "b"}',
            ),
            Wrong("uma lista", "do número do caso à letra", code='respostas = ["c", "a", "b", "d", "a", "b"]'),
            Wrong(
                "não respondeu",
                "uma destas letras",
                code="respostas = {1: None, 2: None, 3: None, 4: None, 5: None, 6: None}",
            ),
        ),
    ),
    "01_memoria": Exercise(
        right=MEMORY_RIGHT,
        wrong=(
            Wrong(
                "responde em bytes",
                "Divida por 10⁹",
                changes={
                    "trainable_fraction * n_params / 1e9": "trainable_fraction * n_params",
                    "2 * n_params / 1e9": "2.0 * n_params",
                },
            ),
            Wrong(
                "1 GB de 2³⁰ bytes",
                "e não 2³⁰",
                changes={
                    "trainable_fraction * n_params / 1e9": "trainable_fraction * n_params / 2**30",
                    "2 * n_params / 1e9": "2 * n_params / 2**30",
                },
            ),
            Wrong("pesos em FP32", "têm 2 bytes", changes={"2 * n_params": "4 * n_params"}),
            Wrong("gradientes em FP32", "têm 2 bytes", changes={'"gradients": 2': '"gradients": 4'}),
            Wrong("cópia mestra em 2 bytes", "A cópia mestra é FP32", changes={'"master": 4': '"master": 2'}),
            Wrong("um estado no AdamW", "O AdamW tem dois estados", changes={'"adamw": 2': '"adamw": 1'}),
            Wrong("estados em 2 bytes", "dois estados", changes={"4 * states[optimizer]": "2 * states[optimizer]"}),
            Wrong(
                "a cópia mestra de todos os parâmetros",
                "só os treinados",
                changes={'"master": 4 * trained': '"master": 4 * n_params / 1e9'},
            ),
            Wrong(
                "os pesos só dos treinados",
                "Os pesos contam todos",
                changes={"2 * n_params / 1e9": "2 * trained"},
            ),
            Wrong(
                "ignora a fração",
                "só os treinados",
                changes={"trainable_fraction * n_params / 1e9": "n_params / 1e9"},
            ),
            Wrong("ignora o otimizador", "sgd_momentum", changes={"states[optimizer]": "2"}),
            Wrong("o sgd guarda um estado", "O sgd não guarda", changes={'"sgd": 0': '"sgd": 1'}),
            Wrong(
                "esquece a cópia mestra na soma",
                "Faltou alguma das quatro",
                changes={"sum(parts.values())": "sum(parts.values()) - parts['master']"},
            ),
            Wrong("usa a placa inteira", "no máximo 80% da placa", changes={"0.8 * gpu_gb": "gpu_gb"}),
            Wrong("menor, e não menor ou igual", "no máximo 80% da placa", changes={"total <= 0.8": "total < 0.8"}),
            Wrong("fits invertido", "é menos que 80%", changes={"total <= 0.8": "total > 0.8"}),
            Wrong(
                "cabe sempre",
                "aqui, 6,4 GB",
                changes={"total <= 0.8 * gpu_gb": "True"},
            ),
            Wrong(
                "esquece fits",
                "São seis",
                changes={'{"total": total, "fits": total <= 0.8 * gpu_gb}': '{"total": total}'},
            ),
            Wrong("devolve só o total", "esperava um dicionário", changes={"return parts | ": "return total or "}),
            Wrong(
                "aceita fração negativa",
                "A fração vai de 0 a 1",
                changes={"0 <= trainable_fraction <= 1": "trainable_fraction <= 1"},
            ),
            Wrong(
                "aceita fração maior que 1",
                "A fração vai de 0 a 1",
                changes={"0 <= trainable_fraction <= 1": "0 <= trainable_fraction"},
            ),
            Wrong(
                "recusa a fração 0",
                "parou com ValueError",
                changes={"0 <= trainable_fraction <= 1": "0 < trainable_fraction <= 1"},
            ),
            Wrong(
                "otimizador desconhecido dá KeyError",
                "deveria levantar ValueError, mas parou com KeyError",
                changes={"optimizer not in states": "False"},
            ),
            Wrong(
                "o erro não diz que otimizador",
                "deveria citar lion",
                changes={"não conheço {optimizer!r}; ": ""},
            ),
            Wrong(
                "chama a função da biblioteca",
                "estimate_finetuning_memory é o que este exercício recria",
                code=MEMORY_FROM_LIBRARY,
            ),
        ),
    ),
    "01_quantizacao": Exercise(
        right=QUANTIZATION_RIGHT,
        wrong=(
            Wrong(
                "uma escala para a matriz",
                "É uma escala por linha",
                changes={"weights.abs().amax(dim=1, keepdim=True)": "weights.abs().max().repeat(len(weights), 1)"},
            ),
            Wrong("uma escala por coluna", "veja dim e keepdim", changes={"amax(dim=1": "amax(dim=0"}),
            Wrong("esquece o módulo", "use abs() antes do máximo", changes={"weights.abs().amax": "weights.amax"}),
            Wrong("esquece o − 1", "é 127: 2 ** 7 - 1", changes={"2 ** (bits - 1) - 1": "2 ** (bits - 1)"}),
            Wrong("sempre 127", "bits=3, error", changes={"2 ** (bits - 1) - 1": "127"}),
            Wrong("conta sem sinal", "scales", changes={"2 ** (bits - 1) - 1": "2**bits - 1"}),
            Wrong("sem keepdim", "esperava a forma (3, 1)", changes={", keepdim=True": ""}),
            Wrong("linha de zeros com escala 0", "tem escala 1", changes={"    scales[scales == 0] = 1\n": ""}),
            Wrong("corta em vez de arredondar", "Arredonde antes de converter", changes={".round()": ""}),
            Wrong("arredonda para cima", "codes", changes={".round()": ".ceil()"}),
            Wrong(
                "deixa os inteiros como reais",
                "converta com .to(torch.int8)",
                changes={".round().to(torch.int8)": ".round()"},
            ),
            Wrong("inteiros de 64 bits", "Converta com .to(torch.int8)", changes={"torch.int8": "torch.int64"}),
            Wrong("multiplica pela escala", "Divida pela escala", changes={"weights / scales": "weights * scales"}),
            Wrong(
                "erro absoluto", "Faltou dividir pela norma", changes={".norm().item() / norm if": ".norm().item() if"}
            ),
            Wrong(
                "erro ao quadrado",
                "norma(weights)",
                changes={"codes * scales).norm()": "codes * scales).square().sum()"},
            ),
            Wrong("compara com os inteiros", "norma(weights)", changes={"weights - codes * scales": "weights - codes"}),
            Wrong("o erro fica num tensor", "item()", changes={".norm().item() / norm if": ".norm() / norm if"}),
            Wrong(
                "0 / 0 no erro",
                "de uma matriz só de zeros, 0",
                changes={
                    "(weights - codes * scales).norm().item() / norm if norm else 0.0": (
                        "((weights - codes * scales).norm() / weights.norm()).item()"
                    )
                },
            ),
            Wrong(
                "zera os pequenos na matriz recebida",
                "trabalhe numa cópia",
                changes={"    codes = (": "    weights[weights.abs() < scales] = 0\n    codes = ("},
            ),
            Wrong(
                "devolve na outra ordem",
                "esperava a forma (3, 1); recebi (3, 3)",
                changes={"return codes, scales, error": "return scales, codes, error"},
            ),
            Wrong("esquece o erro", "os 3 valores", changes={"return codes, scales, error": "return codes, scales"}),
            Wrong("aceita qualquer bits", "bits vai de 2 a 8", changes={"not 2 <= bits <= 8": "False"}),
            Wrong(
                "divide pela norma da aproximação",
                "e não da aproximação",
                changes={"weights.norm().item()\n": "(codes * scales).norm().item()\n"},
            ),
            Wrong("aceita 1 bit", "bits vai de 2 a 8", changes={"2 <= bits <= 8": "1 <= bits <= 8"}),
            Wrong("recusa 2 bits", "parou com ValueError", changes={"2 <= bits <= 8": "2 < bits <= 8"}),
            Wrong("o erro não diz bits", "deveria citar", changes={"; recebi {bits}": ""}),
            Wrong(
                "chama a função da biblioteca",
                "quantize_absmax é o que este exercício recria",
                code=QUANTIZATION_FROM_LIBRARY,
            ),
        ),
    ),
}

SURVIVORS = {
    (
        "01_memoria",
        "parts = {'weights': 2 * n_params / 1000000000.0, 'gradients': 2 * trained, 'master': 4 * trained, "
        "'optimizer': 4 * states[optimizer] * trained} → parts = {'weights': 2 * n_params / 1000000001.0, "
        "'gradients': 2 * trained, 'master': 4 * trained, 'optimizer': 4 * states[optimizer] * trained}",
    ): "1e9 e 1e9 + 1 diferem menos do que a tolerância da comparação",
    (
        "01_memoria",
        "trained = trainable_fraction * n_params / 1000000000.0 → trained = trainable_fraction * n_params / "
        "1000000001.0",
    ): "1e9 e 1e9 + 1 diferem menos do que a tolerância da comparação",
}
