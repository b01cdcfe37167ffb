"""Avalia o gpt2-mini e preenche os números do MODEL_CARD.md, num só comando.

Mede a perda de validação por corpus (ao lado do modelo sem treino e de um bigrama suavizado), gera as amostras,
confere os logits com o ``transformers``, procura SMS no corpus e repete os experimentos com SMS::

    python scripts/avaliar_gpt2_mini.py --corpus PASTA --sms SMSSpamCollection

Tudo vai para ``avaliacao.json``, ao lado dos pesos. O MODEL_CARD.md é escrito à mão, menos o que fica entre
``<!-- início: NOME -->`` e ``<!-- fim: NOME -->``, que este comando escreve a partir dos JSON.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

import click
import numpy as np
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corpus_gpt2_mini import (
    END_OF_TEXT,
    CorpusError,
    load_documents,
    load_manifest,
    read_sms_messages,
    sms_overlap,
)
from pretrain_gpt2_mini import (
    DEFAULT_ASSETS,
    DEFAULT_WORK,
    keep_memory_between_steps,
    load_tokens,
    write_json,
)
from sms_gpt2_mini import (
    READINGS,
    RunCache,
    load_messages,
    random_model,
    run_experiments,
    tfidf_baselines,
)

from llmdefinitions.config import model_config
from llmdefinitions.generation import generate_text_simple
from llmdefinitions.gpt import GPTModel, count_parameters
from llmdefinitions.pretraining import calc_text_loss
from llmdefinitions.tokenizer import get_tokenizer, text_to_token_ids, token_ids_to_text
from llmdefinitions.weights import load_weights_into_gpt, read_gpt2

OPENINGS = (
    "Every effort moves you",
    "Hey, what are you doing",
    "The movie was",
    "Please call me",
    "The battery life of this camera",
    "The President said",
    "In the beginning",
    "She looked at him and",
    "I don't think",
    "Free",
)
NEW_TOKENS = 25
TEMPERATURE = 0.8
SAMPLE_SEED = 123
KNESER_NEY_DISCOUNT = 0.75
WATTS_PER_CORE = 15


# ---------------------------------------------------------------- pesos


def load_shipped_model(folder):
    """``GPTModel`` com os pesos de ``folder``, em float32, para avaliação."""
    model = GPTModel(model_config())
    load_weights_into_gpt(model, read_gpt2(Path(folder), model.cfg)[1])
    return model.eval()


@torch.no_grad()
def transformers_difference(model, folder, ids):
    """Maior diferença absoluta entre os logits do ``GPTModel`` e os do ``transformers``."""
    from transformers import GPT2LMHeadModel

    reference = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    return float((model(ids) - reference(ids).logits).abs().max())


# ---------------------------------------------------------------- linguagem


class KneserNeyBigram:
    """Bigrama com a suavização interpolada de Kneser e Ney (1995), desconto 0,75.

    ``p(w | v) = max(c(v, w) − D, 0) / c(v) + D · n(v) / c(v) · p_cont(w)``, em que ``n(v)`` é o número de
    continuações diferentes de ``v`` e ``p_cont(w)`` é proporcional ao número de antecessores diferentes de ``w``
    (mais um, para que nenhum token fique com zero).

    Args:
        documents: vetores de tokens de treino, cada um terminado em ``<|endoftext|>``.
        vocab_size: tamanho do vocabulário.
    """

    def __init__(self, documents, vocab_size):
        stream = np.concatenate([[END_OF_TEXT], *documents]).astype(np.int64)
        self.vocab_size = vocab_size
        self.pairs, self.pair_counts = np.unique(stream[:-1] * vocab_size + stream[1:], return_counts=True)
        first, second = np.divmod(self.pairs, vocab_size)
        self.context_counts = np.bincount(stream[:-1], minlength=vocab_size)
        self.followers = np.bincount(first, minlength=vocab_size)
        predecessors = np.bincount(second, minlength=vocab_size) + 1.0
        self.continuation = predecessors / predecessors.sum()

    def loss(self, documents):
        """Perda média por token, em nats."""
        stream = np.concatenate([[END_OF_TEXT], *documents]).astype(np.int64)
        previous, current = stream[:-1], stream[1:]
        keys = previous * self.vocab_size + current
        position = np.minimum(np.searchsorted(self.pairs, keys), len(self.pairs) - 1)
        counts = np.where(self.pairs[position] == keys, self.pair_counts[position], 0)
        total = np.maximum(self.context_counts[previous], 1)
        seen = np.maximum(counts - KNESER_NEY_DISCOUNT, 0) / total
        backoff = np.where(
            self.context_counts[previous] > 0, KNESER_NEY_DISCOUNT * self.followers[previous] / total, 1.0
        )
        return float(-np.log(seen + backoff * self.continuation[current]).mean())


def language_table(model, tokens):
    """Perda de validação por corpus: gpt2-mini, sem treino e bigrama.

    Args:
        model: ``GPTModel`` pré-treinado.
        tokens: saída de ``load_tokens``.

    Returns:
        Lista de dicts (``corpus``, ``tokens_treino``, ``tokens_validacao`` e a perda de cada modelo, em nats por
        token), com o total em ``"todos"``.
    """
    untrained = random_model(0)
    torch.manual_seed(0)
    for parameter in untrained.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.02)
    train_documents = [document for documents in tokens["treino"].values() for document in documents]
    bigram = KneserNeyBigram(train_documents, model.cfg["vocab_size"])
    rows = []
    for name, documents in tqdm(tokens["validacao"].items(), desc="Perda por corpus"):
        rows.append(
            {
                "corpus": name,
                "documentos": len(tokens["treino"][name]) + len(documents),
                "tokens_treino": sum(map(len, tokens["treino"][name])),
                "tokens_validacao": sum(map(len, documents)),
                "gpt2_mini": calc_text_loss(documents, model),
                "sem_treino": calc_text_loss(documents, untrained),
                "bigrama": bigram.loss(documents),
            }
        )
    weights = [row["tokens_validacao"] for row in rows]
    total = {"corpus": "todos"}
    total |= {key: sum(row[key] for row in rows) for key in ("documentos", "tokens_treino", "tokens_validacao")}
    total |= {
        key: float(np.average([row[key] for row in rows], weights=weights))
        for key in ("gpt2_mini", "sem_treino", "bigrama")
    }
    return [*rows, total]


# ---------------------------------------------------------------- amostras


@torch.no_grad()
def sample_with_temperature(model, idx, max_new_tokens, temperature, generator):
    """Continua ``idx`` ``(1, T)`` sorteando cada token de ``softmax(logits / temperature)``."""
    for _ in range(max_new_tokens):
        logits = model(idx[:, -model.cfg["context_length"] :])[:, -1, :]  # (1, V)
        probabilities = torch.softmax(logits / temperature, dim=-1)
        idx = torch.cat([idx, torch.multinomial(probabilities, 1, generator=generator)], dim=1)
    return idx


def text_samples(model, tokenizer):
    """Uma continuação gulosa e uma sorteada para cada abertura de ``OPENINGS``, todas, sem escolher."""
    samples = []
    for number, opening in enumerate(OPENINGS):
        idx = text_to_token_ids(opening, tokenizer)
        greedy = generate_text_simple(model, idx, NEW_TOKENS, model.cfg["context_length"])
        generator = torch.Generator().manual_seed(SAMPLE_SEED + number)
        drawn = sample_with_temperature(model, idx, NEW_TOKENS, TEMPERATURE, generator)
        samples.append(
            {
                "abertura": opening,
                "gulosa": token_ids_to_text(greedy, tokenizer),
                "temperatura": token_ids_to_text(drawn, tokenizer),
            }
        )
    return samples


# ---------------------------------------------------------------- cartão do modelo


def number(value, digits):
    """Número com vírgula decimal e ponto de milhar, como se escreve em português."""
    return f"{value:,.{digits}f}".replace(",", " ").replace(".", ",").replace(" ", ".")


def rate_text(rate):
    """Taxa de aprendizado com vírgula decimal, sem zeros à direita."""
    return f"{rate:g}".replace(".", ",")


def markdown_table(header, rows, text_columns=1):
    """Tabela em Markdown; as colunas depois das ``text_columns`` primeiras ficam alinhadas à direita."""
    rule = ["---" if column < text_columns else "---:" for column in range(len(header))]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [header, rule, *rows])


def card_blocks(evaluation, training, manifest, size):
    """Os trechos que o comando escreve no MODEL_CARD.md.

    Args:
        evaluation: conteúdo de ``avaliacao.json``.
        training: conteúdo de ``treinamento.json``.
        manifest: conteúdo de ``corpus_gpt2_mini.json``.
        size: tamanho de ``model.safetensors``, em bytes.

    Returns:
        dict de nome do trecho para Markdown.
    """
    hours = training["minutos_ativos"] / 60
    watt_hours = hours * training["nucleos"] * WATTS_PER_CORE
    overlap = evaluation["sobreposicao_sms"]
    return {
        "resumo": _summary_block(evaluation, size),
        "dados": markdown_table(
            ["corpus", "o que é", "licença", "documentos", "tokens de treino"],
            [
                [
                    row["corpus"],
                    manifest["corpora"].get(row["corpus"], {}).get("descricao", ""),
                    manifest["corpora"].get(row["corpus"], {}).get("licenca", ""),
                    number(row["documentos"], 0),
                    number(row["tokens_treino"], 0),
                ]
                for row in evaluation["linguagem"]
            ],
            text_columns=3,
        ),
        "sobreposicao": (
            f"Das {number(overlap['mensagens_comparadas'], 0)} mensagens diferentes com 20 caracteres ou mais, "
            f"{len(overlap['mensagens_contidas'])} aparecem inteiras em algum documento do corpus "
            f"({_quoted(overlap['mensagens_contidas'])}). Sequências de oito palavras em comum: "
            f"{len(overlap['sequencias_de_8_palavras_em_comum'])} "
            f"({_quoted(overlap['sequencias_de_8_palavras_em_comum'])})."
        ),
        "treinamento": "\n".join(
            f"- {line}"
            for line in (
                f"passos: {number(training['passos'], 0)}; tokens vistos: "
                f"{number(training['tokens_vistos'] / 1e6, 1)} milhões, ou {number(training['epocas'], 1)} épocas "
                f"de {number(training['tokens_por_epoca'] / 1e6, 1)} milhões (com os pesos dos corpora)",
                f"tempo dos passos aproveitados: {number(training['minutos_ativos'], 0)} minutos em "
                f"{training['nucleos']} núcleos de CPU, divididos com outros trabalhos; "
                f"{number(training['tokens_por_segundo'], 0)} tokens por segundo",
                f"energia: cerca de {number(watt_hours, 0)} Wh, estimativa de {WATTS_PER_CORE} W por núcleo ocupado "
                "(não medida)",
                f"taxa de aprendizado máxima: {rate_text(training['taxa_de_aprendizado_maxima'])}; semente "
                f"{training['semente']}; PyTorch {training['torch']}",
            )
        ),
        "linguagem": _language_block(evaluation["linguagem"]),
        "amostras": "\n\n".join(
            f"**{s['abertura']}**\n\n- gulosa: {_inline(s['gulosa'])}\n- temperatura "
            f"{number(TEMPERATURE, 1)}: {_inline(s['temperatura'])}"
            for s in evaluation["amostras"]
        ),
        "sms": _sms_block(evaluation),
        "paridade": (
            f"A maior diferença entre os logits do `GPTModel` e os do `transformers` é "
            f"{evaluation['diferenca_transformers']:.1e}.".replace(".", ",", 1)
        ),
    }


def _quoted(texts):
    return "; ".join(f"“{text}”" for text in texts) or "nenhuma"


def _inline(text):
    return "`" + re.sub(r"\s+", " ", text.replace("`", "'")) + "`"


def _summary_block(evaluation, size):
    total = evaluation["linguagem"][-1]
    return (
        f"{number(evaluation['parametros'] / 1e6, 1)} milhões de parâmetros; "
        f"{number(size / 1e6, 1)} MB de pesos em float16; perplexidade de validação "
        f"{number(np.exp(total['gpt2_mini']), 1)} (bigrama: {number(np.exp(total['bigrama']), 1)})."
    )


def _language_block(rows):
    models = {"gpt2-mini": "gpt2_mini", "bigrama": "bigrama", "sem treino": "sem_treino"}
    header = ["corpus", "tokens", *(f"{model}: {kind}" for model in models for kind in ("perda", "perplexidade"))]
    return markdown_table(
        header,
        [
            [row["corpus"], number(row["tokens_validacao"], 0)]
            + [cell for key in models.values() for cell in (number(row[key], 2), number(np.exp(row[key]), 0))]
            for row in rows
        ],
    )


def _sms_block(evaluation):
    def cell(measure):
        return f"{number(measure['media'], 2)} ± {number(measure['desvio'], 2)}"

    rows = [
        [
            f"pesos {row['pesos']}, {row['treinado']}, {row['leitura']}",
            rate_text(row["taxa"]),
            cell(row["medidas"]["validacao"]),
            cell(row["medidas"]["teste"]),
            cell(row["medidas"]["teste_sem_vazadas"]),
            cell(row["medidas"]["f1"]),
        ]
        for row in evaluation["sms"]["experimentos"]
    ]
    rows += [
        [
            f"TF-IDF ({name}) + regressão logística",
            "",
            "",
            number(scores["teste"], 2),
            number(scores["teste_sem_vazadas"], 2),
            number(scores["f1"], 2),
        ]
        for name, scores in evaluation["sms"]["tfidf"].items()
    ]
    table = markdown_table(["modelo", "taxa", "validação", "teste", "teste sem vazadas", "F1 no teste"], rows)
    return f"{table}\n\n{_sms_verdict(evaluation['sms'])}"


def _sms_verdict(sms):
    measured = {
        (row["pesos"], row["leitura"]): row["medidas"]["teste"]["media"]
        for row in sms["experimentos"]
        if row["treinado"] == "fim do modelo"
    }
    gains = "; ".join(
        f"lendo {'a' if reading == READINGS[0] else 'o'} {reading}, o pré-treinamento leva a acurácia de "
        f"{number(measured['sorteados', reading], 2)} para {number(measured['pré-treinados', reading], 2)} %"
        for reading in READINGS
    )
    name, scores = max(sms["tfidf"].items(), key=lambda item: item[1]["teste"])
    best = max(row["medidas"]["teste"]["media"] for row in sms["experimentos"])
    side = "acima de todos os modelos da tabela" if scores["teste"] > best else "abaixo do melhor modelo da tabela"
    return (
        f"Treinando só o fim do modelo: {gains}. O TF-IDF ({name}) com regressão logística, que treina num instante, "
        f"acerta {number(scores['teste'], 2)} %, {side} ({number(best, 2)} %). Para uma tarefa como esta, em que "
        "poucas palavras denunciam o spam, ele continua uma escolha sensata: o que o curso mostra é de onde vem o "
        "ganho do pré-treinamento, não que um LLM seja sempre preciso."
    )


def fill_card(text, blocks):
    """Troca o conteúdo entre os marcadores de cada trecho.

    Raises:
        ValueError: se um trecho não tem os seus marcadores no texto.
    """
    for name, content in blocks.items():
        pattern = re.compile(rf"(<!-- início: {name} -->\n).*?(<!-- fim: {name} -->)", re.DOTALL)
        text, replaced = pattern.subn(lambda m, content=content: f"{m[1]}{content}\n{m[2]}", text)
        if replaced != 1:
            raise ValueError(f"MODEL_CARD.md: esperava um trecho marcado como {name!r}; achei {replaced}.")
    return text


# ---------------------------------------------------------------- comando


def evaluate_all(corpus, sms, assets, work, seeds):
    """Faz todas as medidas e as grava em ``avaliacao.json``, que fica completo a cada experimento com SMS."""
    tokenizer = get_tokenizer()
    model = load_shipped_model(assets)
    fingerprint = hashlib.sha256((assets / "model.safetensors").read_bytes()).hexdigest()
    documents = [document for texts in load_documents(corpus).values() for document in texts]
    data = load_messages(sms, tokenizer)
    experiments = []
    evaluation = {
        "sha256_dos_pesos": fingerprint,
        "parametros": count_parameters(model),
        "diferenca_transformers": transformers_difference(model, assets, data[2].ids[:8]),
        "linguagem": language_table(model, load_tokens(corpus, work)),
        "amostras": text_samples(model, tokenizer),
        "sobreposicao_sms": sms_overlap(documents, read_sms_messages(sms)),
        "sms": {
            "sementes": seeds,
            "mensagens": {
                "treino": len(data[0].labels),
                "validacao": len(data[1].labels),
                "teste": len(data[2].labels),
                "teste_vazadas": int(data[3].sum()),
            },
            "tfidf": tfidf_baselines(data),
            "experimentos": experiments,
        },
    }
    cache = RunCache(Path(work) / "sms.json")
    for experiment in run_experiments(model, fingerprint[:12], data, cache, seeds):
        experiments.append(experiment)
        write_json(evaluation, assets / "avaliacao.json")


@click.command()
@click.option(
    "--corpus",
    type=click.Path(exists=True, file_okay=False),
    help="Pasta com os zips do NLTK.",
)
@click.option(
    "--sms",
    type=click.Path(exists=True, dir_okay=False),
    help="Arquivo SMSSpamCollection inteiro, da UCI.",
)
@click.option(
    "--pesos",
    "assets",
    type=click.Path(exists=True, file_okay=False),
    default=DEFAULT_ASSETS,
    help="Pasta dos pesos.  [padrão: llmdefinitions/assets/gpt2-mini]",
)
@click.option(
    "--trabalho",
    "work",
    type=click.Path(file_okay=False),
    default=DEFAULT_WORK,
    help="Pasta dos tokens e dos resultados parciais.  [padrão: build/gpt2-mini]",
)
@click.option("--repeticoes", "repetitions", default=5, show_default=True, help="Sementes de cada experimento com SMS.")
@click.option("--nucleos", "threads", default=2, show_default=True, help="Núcleos a usar.")
@click.option("--so-cartao", "card_only", is_flag=True, help="Só reescreve o MODEL_CARD.md a partir dos JSON.")
def main(corpus, sms, assets, work, repetitions, threads, card_only):
    """Avalia o gpt2-mini e preenche os números do MODEL_CARD.md.

    Pode ser interrompido: os experimentos com SMS já feitos ficam em --trabalho e não se repetem.
    """
    keep_memory_between_steps()
    torch.set_num_threads(threads)
    assets = Path(assets)
    if not card_only:
        if corpus is None or sms is None:
            raise click.UsageError("Indique --corpus e --sms (só --so-cartao dispensa os dois).")
        try:
            evaluate_all(corpus, sms, assets, work, list(range(1, repetitions + 1)))
        except CorpusError as error:
            raise click.ClickException(str(error)) from error
    evaluation = json.loads((assets / "avaliacao.json").read_text(encoding="utf-8"))
    training = json.loads((assets / "treinamento.json").read_text(encoding="utf-8"))
    size = (assets / "model.safetensors").stat().st_size
    card = assets / "MODEL_CARD.md"
    filled = fill_card(card.read_text(encoding="utf-8"), card_blocks(evaluation, training, load_manifest(), size))
    card.write_text(filled, encoding="utf-8")
    for row in evaluation["sms"]["experimentos"]:
        measure = row["medidas"]["teste"]
        click.echo(
            f"{row['pesos']}, {row['treinado']}, {row['leitura']}: "
            f"{number(measure['media'], 2)} ± {number(measure['desvio'], 2)} % no teste (taxa {rate_text(row['taxa'])})"
        )


if __name__ == "__main__":
    main()
