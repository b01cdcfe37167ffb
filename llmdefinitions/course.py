"""O trabalho principal do curso, do SMS bruto ao classificador salvo, numa só função.

É a demonstração da aula inteira, com o que lhe faltava: mensagens repetidas contadas, mais medidas que a acurácia
e uma referência simples ao lado. ``python -m llmdefinitions`` a executa.
"""

import csv
import json
import platform
import shutil
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import torch
from rich.console import Console
from rich.table import Table

from . import __version__
from .checks import check_integer, check_number, check_path, check_seed, describe_error
from .classifier import classify_review, load_classifier, prepare_for_classification, save_classifier
from .config import DEFAULT_MODEL, LECTURE_LEARNING_RATE, MINI_LEARNING_RATES, model_config
from .datasets import (
    SpamDataset,
    clean_spam_data,
    create_balanced_dataset,
    create_data_loaders,
    find_duplicates,
    load_spam_data,
    map_labels,
    random_split,
)
from .evaluation import classification_scores, predict_loader, tfidf_baseline
from .frozen import prepare_frozen
from .gpt import count_parameters
from .plotting import plot_confusion_matrix, plot_scores, plot_values
from .progress import decimal, gigabytes, percent, thousands
from .sources import find_sms_spam, sha256_of
from .tokenizer import get_tokenizer
from .training import get_device, train_classifier_simple
from .weights import build_model

LECTURE_MAX_LENGTH = 120
"""Comprimento em tokens da mensagem mais longa do treino da aula; mensagens maiores são cortadas aqui."""

LECTURE_MESSAGES = (
    "You are a winner you have been specially selected to receive $1000 cash or a $2000 award.",
    "Hey, just wanted to check if we're still on for dinner tonight? Let me know!",
)

CLASS_NAMES = ("não spam", "spam")
MEASURE_NAMES = {"accuracy": "acurácia", "precision": "precisão", "recall": "revocação", "f1": "F1"}

PARTS = ("train", "validation", "test")
PART_NAMES = ("treino", "validação", "teste")
RESULT_FILES = (
    *(f"{part}.csv" for part in PARTS),
    "perda.png",
    "acuracia.png",
    "matriz_de_confusao.png",
    "comparacao.png",
    "classificador.pth",
    "curso.json",
)


class CourseError(RuntimeError):
    """Uma etapa do curso falhou; a mensagem diz qual e por quê."""


def run_course(
    output_folder="resultados",
    choose_model=DEFAULT_MODEL,
    num_epochs=5,
    learning_rate=None,
    seed=123,
    pretrained=True,
    like_lecture=False,
    without_leaks=False,
    device=None,
    console=None,
):
    """Executa o curso: mensagens → modelo → ajuste fino → avaliação → classificação → arquivo salvo.

    Os resultados de uma execução anterior na mesma pasta são guardados em ``anteriores/``, não apagados.

    Args:
        output_folder: onde gravar tabelas, figuras, o classificador e ``curso.json``.
        choose_model: uma das chaves de ``MODEL_CONFIGS``.
        num_epochs: épocas de treinamento.
        learning_rate: taxa de aprendizado do AdamW; sem ela, a que convém ao modelo (veja ``config``).
        seed: semente dos pesos e da ordem dos lotes.
        pretrained: se ``False``, o modelo começa de pesos sorteados, para comparar.
        like_lecture: se ``True``, lê o arquivo como a aula (``pandas.read_csv`` com as aspas do padrão).
        without_leaks: se ``True``, cópias de uma mensagem ficam todas na mesma parte.
        device: nome do dispositivo; sem ele, o melhor que houver.
        console: o ``rich.console.Console`` onde escrever; sem ele, a saída padrão.

    Returns:
        O dicionário gravado em ``curso.json``.

    Raises:
        CourseError: se uma etapa falha.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    seconds = {}
    with _stage("preparação", seconds, console):
        model_config(choose_model)
        if learning_rate is None:
            learning_rate = _suggested_learning_rate(choose_model, pretrained)
        settings = {
            "choose_model": choose_model,
            "num_epochs": check_integer("num_epochs", num_epochs, minimum=1),
            "learning_rate": check_number("learning_rate", learning_rate, minimum=0),
            "seed": check_seed("seed", seed),
            "pretrained": pretrained,
            "like_lecture": like_lecture,
            "without_leaks": without_leaks,
            "device": get_device(device),
        }
        output_folder = check_path("output_folder", output_folder)
        output_folder.mkdir(parents=True, exist_ok=True)
        console.print(f"Dispositivo: {settings['device']}. Resultados em {output_folder}")
    # Os arquivos só tomam o lugar dos anteriores quando tudo deu certo.
    with TemporaryDirectory(dir=output_folder, prefix=".em-andamento-") as scratch:
        results = _run_stages(Path(scratch), seconds, console, **settings)
        with _stage("gravação", seconds, console):
            _publish(results, Path(scratch), output_folder, console)
    _show_results(results, console)
    console.print(f"Pronto: {', '.join(RESULT_FILES)} em {output_folder}")
    return results


def _suggested_learning_rate(choose_model, pretrained):
    if choose_model != DEFAULT_MODEL:
        return LECTURE_LEARNING_RATE
    return MINI_LEARNING_RATES["pretrained" if pretrained else "random"]


def peak_memory_bytes():
    """Devolve a maior memória física que este processo já ocupou, em bytes."""
    try:
        import resource
    except ImportError:  # Windows
        return psutil.Process().memory_info().peak_wset
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else 1024 * peak


def _run_stages(
    folder,
    seconds,
    console,
    *,
    choose_model,
    num_epochs,
    learning_rate,
    seed,
    pretrained,
    like_lecture,
    without_leaks,
    device,
):
    def stage(name):
        return _stage(name, seconds, console)

    with stage("mensagens"):
        source = find_sms_spam()
        parts, report = _prepare_messages(source, like_lecture, without_leaks, folder)
        train_df, _, test_df = parts
        leaked = test_df["Text"].isin(find_duplicates(train_df, test_df)["Text"])
        _show_messages(report, leaked.sum(), console)

    with stage("tokens e lotes"):
        datasets = _encode_messages(folder)
        loaders = create_data_loaders(*datasets, seed=seed)
        max_length = datasets[0].max_length
        console.print(
            f"Cada mensagem tem {max_length} tokens; lotes de 8: "
            + ", ".join(f"{len(loader)} de {name}" for loader, name in zip(loaders, PART_NAMES, strict=True))
        )

    with stage("modelo"):
        model, origin = build_model(choose_model, seed, pretrained)
        prepare_for_classification(model, seed=seed).to(device)
        trainable = count_parameters(model, only_trainable=True)
        console.print(f"Modelo: {choose_model}, {origin}")
        console.print(
            f"Treináveis: {thousands(trainable)} de {thousands(count_parameters(model))} parâmetros "
            "(último bloco, norma final e cabeça)"
        )

    with stage("ativações"):
        # Os números são os de treinar com o modelo inteiro; só a demora é outra (veja frozen.py).
        tail, train_frozen, val_frozen, test_frozen = prepare_frozen(model, *loaders, device=device)

    with stage("treinamento"):
        console.print(f"{num_epochs} épocas de AdamW com taxa de aprendizado {learning_rate:g}".replace(".", ","))
        torch.manual_seed(seed)
        optimizer = torch.optim.AdamW(
            (p for p in model.parameters() if p.requires_grad), lr=learning_rate, weight_decay=0.1
        )
        history = train_classifier_simple(
            tail, train_frozen, val_frozen, optimizer, device, num_epochs, eval_freq=50, eval_iter=5
        )

    with stage("avaliação"):
        baseline = tfidf_baseline(train_df)
        predictions = {
            "GPT-2 ajustado": predict_loader(test_frozen, tail, device),
            "TF-IDF + regressão logística": baseline.predict(test_df["Text"]).tolist(),
        }
        scores = {name: _score(test_df["Label"], predicted, leaked) for name, predicted in predictions.items()}

    with stage("figuras"):
        _draw(history, num_epochs, scores, folder)

    with stage("classificador"):
        path = folder / "classificador.pth"
        save_classifier(path, model, max_length)
        reloaded, info = load_classifier(path, device)
        tokenizer = get_tokenizer()
        classified = {
            text: classify_review(text, reloaded, tokenizer, device, info["max_length"]) for text in LECTURE_MESSAGES
        }
        for text, answer in classified.items():
            console.print(f"«{text}» → [bold]{answer}[/bold]")

    peak_memory = peak_memory_bytes()
    return {
        "versao": __version__,
        "quando": datetime.now().astimezone().isoformat(timespec="seconds"),
        "maquina": {
            "sistema": platform.platform(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "nucleos": torch.get_num_threads(),
            "dispositivo": str(device),
        },
        "dados": report | {"repetidas_no_teste": int(leaked.sum())},
        "modelo": {
            "nome": choose_model,
            "pesos": origin,
            "pre_treinado": pretrained,
            "parametros": count_parameters(model),
            "parametros_treinaveis": trainable,
        },
        "treinamento": {
            "epocas": num_epochs,
            "taxa_de_aprendizado": learning_rate,
            "semente": seed,
            "tokens_por_mensagem": max_length,
            "mensagens_vistas": history[4],
            "perdas_treino": history[0],
            "perdas_validacao": history[1],
            "acuracias_treino": history[2],
            "acuracias_validacao": history[3],
        },
        "teste": scores,
        "mensagens_da_aula": classified,
        "segundos": {name: round(value, 2) for name, value in seconds.items()},
        "memoria_de_pico_bytes": peak_memory,
    }


@contextmanager
def _stage(name, seconds, console):
    console.print(f"\n[bold]{name.capitalize()}[/bold]")
    start = time.perf_counter()
    try:
        yield
    except Exception as error:
        raise CourseError(f"A etapa «{name}» parou: {describe_error(error)}") from error
    seconds[name] = time.perf_counter() - start


def _publish(results, scratch, folder, console):
    """Põe os arquivos prontos em ``folder`` e os que estavam lá em ``anteriores/``, sob a data deles."""
    report = json.dumps(results, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    (scratch / "curso.json").write_text(report, encoding="utf-8")
    existing = [folder / name for name in RESULT_FILES if (folder / name).exists()]
    if existing:
        moment = datetime.fromtimestamp(max(path.stat().st_mtime for path in existing))
        kept = folder / "anteriores" / moment.strftime("%Y-%m-%d_%H-%M-%S")
        kept.mkdir(parents=True)
        for path in existing:
            shutil.move(path, kept)
        console.print(f"Os resultados anteriores foram guardados em {kept}")
    for name in RESULT_FILES:
        (scratch / name).replace(folder / name)


def _prepare_messages(source, like_lecture, without_leaks, folder):
    raw = load_spam_data(source.path, quoting=csv.QUOTE_MINIMAL if like_lecture else csv.QUOTE_NONE)
    cleaned = clean_spam_data(raw)
    balanced = map_labels(create_balanced_dataset(cleaned))
    parts = random_split(balanced, 0.7, 0.1, without_leaks=without_leaks)
    for name, part in zip(PARTS, parts, strict=True):
        part.to_csv(folder / f"{name}.csv", index=None)
    return parts, {
        "fonte": source.tier,
        "descricao": source.description,
        "sha256": sha256_of(source.path),
        "leitura": "da aula" if like_lecture else "correta",
        "lidas": len(raw),
        "limpas": len(cleaned),
        "por_classe": cleaned["Label"].value_counts().to_dict(),
        "equilibradas": len(balanced),
        "partes": dict(zip(PART_NAMES, map(len, parts), strict=True)),
        "sem_vazamento": without_leaks,
    }


def _show_messages(report, leaked, console):
    counts = " e ".join(f"{thousands(count)} {label}" for label, count in report["por_classe"].items())
    sizes = ", ".join(f"{thousands(size)} de {name}" for name, size in report["partes"].items())
    console.print(f"Dados: {report['descricao']}")
    console.print(f"Lidas: {thousands(report['lidas'])}; depois da limpeza: {counts}")
    console.print(f"Equilibradas: {thousands(report['equilibradas'])}; divididas em {sizes}")
    console.print(f"No teste, {leaked} mensagens são cópias exatas de outras do treino")


def _encode_messages(folder):
    tokenizer = get_tokenizer()
    train = SpamDataset(folder / "train.csv", tokenizer)
    if train.max_length > LECTURE_MAX_LENGTH:
        train = SpamDataset(folder / "train.csv", tokenizer, max_length=LECTURE_MAX_LENGTH)
    others = (SpamDataset(folder / f"{part}.csv", tokenizer, max_length=train.max_length) for part in PARTS[1:])
    return train, *others


def _score(labels, predictions, leaked):
    unseen = [i for i, is_leaked in enumerate(leaked) if not is_leaked]
    scores = classification_scores(labels, predictions)
    honest = classification_scores([labels.iat[i] for i in unseen], [predictions[i] for i in unseen])
    return scores | {"accuracy_without_leaks": honest["accuracy"]}


def _draw(history, num_epochs, scores, folder):
    train_losses, val_losses, train_accs, val_accs, examples_seen = history
    # A primeira perda é medida antes da primeira época; a primeira acurácia, depois dela (a aula desenha ambas em 0).
    for values, first_epoch, label, name in (
        ((train_losses, val_losses), 0, "loss", "perda.png"),
        ((train_accs, val_accs), 1, "accuracy", "acuracia.png"),
    ):
        epochs = torch.linspace(first_epoch, num_epochs, len(values[0]))
        examples = epochs * (examples_seen / num_epochs)
        plot_values(epochs, examples, *values, label=label, save_path=folder / name)
    model_name = next(iter(scores))
    plot_confusion_matrix(
        scores[model_name]["confusion_matrix"],
        CLASS_NAMES,
        title=model_name,
        save_path=folder / "matriz_de_confusao.png",
    )
    plot_scores(
        {name: {text: values[key] for key, text in MEASURE_NAMES.items()} for name, values in scores.items()},
        save_path=folder / "comparacao.png",
    )


def _show_results(results, console):
    scores = results["teste"]
    size = results["dados"]["partes"]["teste"]
    table = Table(title=f"No teste ({size} mensagens)")
    table.add_column("medida")
    for name in scores:
        table.add_column(name, justify="right")
    for key, text in MEASURE_NAMES.items():
        table.add_row(text, *(percent(values[key]) for values in scores.values()))
    unseen = size - results["dados"]["repetidas_no_teste"]
    table.add_row(
        f"acurácia nas {unseen} inéditas",
        *(percent(values["accuracy_without_leaks"]) for values in scores.values()),
    )
    table.add_section()
    table.add_row("[italic]verdadeira → prevista[/italic]")
    for i, true_class in enumerate(CLASS_NAMES):
        for j, predicted_class in enumerate(CLASS_NAMES):
            counts = (str(values["confusion_matrix"][i][j]) for values in scores.values())
            table.add_row(f"{true_class} → {predicted_class}", *counts)
    console.print()
    console.print(table)

    times = Table(title="Tempo e memória")
    times.add_column("etapa")
    times.add_column("segundos", justify="right")
    for name, value in results["segundos"].items():
        times.add_row(name, decimal(value, 1))
    times.add_section()
    times.add_row("total", decimal(sum(results["segundos"].values()), 1))
    times.add_row("memória de pico", gigabytes(results["memoria_de_pico_bytes"]))
    console.print(times)
