"""Mede quantas mensagens por segundo se classificam, uma a uma e em lotes, ao lado de outras duas bibliotecas.

O modelo é um GPT-2 small (124M) de pesos sorteados com cabeça de duas classes; as mensagens são as da fonte em uso,
sorteadas. Os modos se alternam em rodadas no mesmo processo, todos com as mesmas mensagens em cada rodada (os lentos,
só com as primeiras), de modo que o ruído da máquina atinja todos por igual. Há duas leituras, que não se misturam numa
comparação de respostas: a da aula, na última de 120 posições, e a do último token da própria mensagem.

Mede-se também se o tempo cresce com os tokens, e não com as mensagens, e se um arquivo dez vezes maior ocupa a mesma
memória (com o gpt2-mini, que é mais rápido).

Uso: ``python benchmarks/inferencia.py``. Imprime as tabelas e grava ``resultados/benchmarks/inferencia.json``.
"""

import csv
import itertools
import time

import click
import psutil
from measuring import decimal, in_new_process, spread, watched_memory, write_report
from rich.console import Console
from rich.progress import track
from rich.table import Table

MODEL, MAX_LENGTH = "gpt2-small (124M)", 120
ONE_BY_ONE = "classify_review, 120 posições"
ONE_BY_ONE_REAL = "classify_review, último token"


def load_texts():
    """Lê todas as mensagens da fonte em uso, embaralhadas."""
    from llmdefinitions import find_sms_spam, load_spam_data

    source = find_sms_spam()
    messages = load_spam_data(source.path, quoting=csv.QUOTE_NONE).sample(frac=1, random_state=123)
    return source.description, messages["Text"].tolist()


def build_course_classifier(choose_model=MODEL):
    """Monta o classificador do curso, com pesos sorteados."""
    import torch

    from llmdefinitions import GPTModel, model_config, prepare_for_classification

    torch.manual_seed(0)
    return prepare_for_classification(GPTModel(model_config(choose_model))).eval()


def course_ways(tokenizer):
    """Os modos do curso: nome, função que classifica uma lista de textos e se é dos lentos."""
    from llmdefinitions import classify_review, classify_texts

    model = build_course_classifier()

    def one_by_one(max_length):
        return lambda texts: [classify_review(text, model, tokenizer, "cpu", max_length) for text in texts]

    def together(max_length, fast):
        return lambda texts: list(classify_texts(texts, model, tokenizer, "cpu", max_length, fast=fast))

    return {
        ONE_BY_ONE: (one_by_one(MAX_LENGTH), True),
        ONE_BY_ONE_REAL: (one_by_one(None), True),
        "classify_texts, 120 posições": (together(MAX_LENGTH, False), True),
        "classify_texts, 120 posições, fast": (together(MAX_LENGTH, True), True),
        "classify_texts, último token": (together(None, False), False),
        "classify_texts, último token, fast": (together(None, True), False),
    }


def peer_ways(tokenizer):
    """Os vizinhos: o ``classify_review`` do livro e o modelo da ``transformers`` em lotes de 8."""
    import torch
    from llms_from_scratch.ch04 import GPTModel
    from llms_from_scratch.ch06 import classify_review
    from transformers import GPT2Config, GPT2ForSequenceClassification

    from llmdefinitions import END_OF_TEXT, model_config

    book = GPTModel(model_config(MODEL))
    book.out_head = torch.nn.Linear(768, 2)
    hub = GPT2ForSequenceClassification(GPT2Config(pad_token_id=END_OF_TEXT, num_labels=2)).eval()

    def with_book(texts):
        return [classify_review(text, book, tokenizer, "cpu", MAX_LENGTH, END_OF_TEXT) for text in texts]

    @torch.no_grad()
    def with_transformers(texts):
        labels = []
        for start in range(0, len(texts), 8):
            ids = [tokenizer.encode(text)[:MAX_LENGTH] or [END_OF_TEXT] for text in texts[start : start + 8]]
            longest = max(map(len, ids))
            padded = torch.tensor([message + [END_OF_TEXT] * (longest - len(message)) for message in ids])
            mask = torch.tensor([[1] * len(message) + [0] * (longest - len(message)) for message in ids])
            labels += hub(padded, attention_mask=mask).logits.argmax(-1).tolist()
        return labels

    return {
        "llms-from-scratch, 120 posições": (with_book, True),
        "transformers, lotes de 8": (with_transformers, False),
    }


def measure_speed(rounds, few, many):
    """Mede todos os modos, alternados; devolve por modo as mensagens por segundo de cada rodada e as concordâncias."""
    from llmdefinitions import get_tokenizer

    tokenizer = get_tokenizer()
    description, texts = load_texts()
    ways = course_ways(tokenizer) | peer_ways(tokenizer)
    for function, _ in ways.values():
        function(texts[:2])
    speeds, answers = {way: [] for way in ways}, {way: [] for way in ways}
    for number in range(rounds):
        chosen = texts[number * many : (number + 1) * many]
        for way, (function, slow) in ways.items():
            some = chosen[:few] if slow else chosen
            start = time.perf_counter()
            labels = function(some)
            speeds[way].append(len(some) / (time.perf_counter() - start))
            answers[way] += labels[:few]
    references = {way: ONE_BY_ONE_REAL if "último" in way else ONE_BY_ONE for way in ways if "classify_texts" in way}
    same = {
        way: sum(one == other for one, other in zip(answers[way], answers[reference], strict=True)) / len(answers[way])
        for way, reference in references.items()
    }
    return {"fonte": description, "mensagens_por_segundo": speeds, "respostas_iguais": same}


def measure_lengths(many):
    """Mede ``classify_texts`` em cada quarto de comprimento das mensagens: tokens por segundo."""
    from llmdefinitions import classify_texts, get_tokenizer

    tokenizer = get_tokenizer()
    model = build_course_classifier()
    texts = sorted(load_texts()[1][: 4 * many], key=lambda text: len(tokenizer.encode(text)))
    groups = []
    for start in range(0, 4 * many, many):
        quarter = texts[start : start + many]
        tokens = sum(len(tokenizer.encode(text)) for text in quarter)
        begin = time.perf_counter()
        list(classify_texts(quarter, model, tokenizer, "cpu", fast=True))
        groups.append(
            {"tokens_por_mensagem": tokens / many, "tokens_por_segundo": tokens / (time.perf_counter() - begin)}
        )
    return groups


def measure_memory(lines):
    """Mede quanto a memória cresce ao classificar ``lines`` mensagens que chegam uma a uma."""
    from llmdefinitions import DEFAULT_MODEL, classify_texts, get_tokenizer

    tokenizer = get_tokenizer()
    model = build_course_classifier(DEFAULT_MODEL)
    texts = load_texts()[1]
    list(classify_texts(texts[:2048], model, tokenizer, "cpu", fast=True))
    endless = itertools.islice(itertools.cycle(texts), lines)
    with watched_memory(lambda: psutil.Process().memory_info().rss, interval=0.05) as readings:
        spam = sum(label == "spam" for label in classify_texts(endless, model, tokenizer, "cpu", fast=True))
    return {"linhas": lines, "spam": spam, "crescimento_bytes": max(readings) - readings[0]}


@click.command(context_settings={"help_option_names": ["-h", "--help", "--ajuda"]})
@click.option("--rodadas", default=3, show_default=True, type=click.IntRange(1), help="Rodadas de todos os modos.")
@click.option("--poucas", default=24, show_default=True, type=click.IntRange(4), help="Mensagens dos modos lentos.")
@click.option("--muitas", default=160, show_default=True, type=click.IntRange(16), help="Mensagens dos outros modos.")
def main(rodadas, poucas, muitas):
    """Mede mensagens classificadas por segundo, uma a uma e em lotes."""
    jobs = {
        "velocidade": (measure_speed, rodadas, poucas, muitas),
        "por_comprimento": (measure_lengths, muitas // 2),
        "memoria": (measure_memory, 3_000),
        "memoria_de_dez_vezes_mais": (measure_memory, 30_000),
    }
    results = {name: in_new_process(*job) for name, job in track(jobs.items(), description="medindo", transient=True)}

    console = Console()
    speed = results["velocidade"]
    rates = speed["mensagens_por_segundo"]
    table = Table(title=f"Mensagens por segundo, {MODEL}")
    table.add_column("modo", no_wrap=True)
    for name in ("mensagens/s", f"× {ONE_BY_ONE}", f"× {ONE_BY_ONE_REAL}", "mesmas respostas"):
        table.add_column(name, justify="right")
    for way, values in rates.items():
        ratios = (
            spread([value / base for value, base in zip(values, rates[reference], strict=True)], 1)
            for reference in (ONE_BY_ONE, ONE_BY_ONE_REAL)
        )
        same = f"{decimal(100 * speed['respostas_iguais'][way], 1)}%" if way in speed["respostas_iguais"] else "—"
        table.add_row(way, spread(values, 1), *ratios, same)
    console.print(f"Dados: {speed['fonte']}; {rodadas} rodadas de {poucas} ou {muitas} mensagens")
    console.print(table)
    for group in results["por_comprimento"]:
        console.print(
            f"mensagens de {decimal(group['tokens_por_mensagem'], 0)} tokens: "
            f"{decimal(group['tokens_por_segundo'], 0)} tokens/s"
        )
    for name in ("memoria", "memoria_de_dez_vezes_mais"):
        measure = results[name]
        console.print(
            f"{measure['linhas']} linhas: a memória cresce {decimal(measure['crescimento_bytes'] / 1e6, 0)} MB"
        )
    console.print(f"Gravado em {write_report('inferencia', {'modelo': MODEL, 'medidas': results})}")


if __name__ == "__main__":
    main()
