"""Soluções da lição 06 que os testes dela têm de reprovar, com a mensagem de cada erro, e as certas, que aprovam."""

from tests.mutants import Exercise, Wrong

MEASURE_RIGHT = """
@torch.inference_mode()
def measure_loader(data_loader, model):
    mode = model.training
    model.train(False)
    losses, hits = [], []
    for ids, labels in data_loader:
        scores = model(ids)[:, ids.shape[1] - 1].log_softmax(dim=1)
        losses += (-scores[range(len(labels)), labels]).tolist()
        hits += scores.max(dim=1).indices.eq(labels).tolist()
    model.train(mode)
    if not losses:
        raise ValueError("o carregador está vazio")
    return sum(losses) / len(losses), sum(hits) / len(hits)
"""

STEP_RIGHT = """
def train_step(model, input_batch, target_batch, optimizer, max_norm=None):
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None
    loss = llm.calc_loss_batch(input_batch, target_batch, model.train(), "cpu")
    if not torch.isfinite(loss):
        raise ValueError("a perda não é finita")
    loss.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norm = float(torch.sqrt(sum((gradient**2).sum() for gradient in gradients)))
    if max_norm is not None and norm > max_norm:
        for gradient in gradients:
            gradient *= max_norm / (norm + 1e-6)
    optimizer.step()
    return [float(loss.detach()), norm]
"""

PATIENCE_RIGHT = """
def train_with_patience(model, train_epoch, validate, max_epochs, patience):
    if max_epochs < 1 or patience < 1:
        raise ValueError(f"não dá para treinar com {max_epochs} épocas e paciência {patience}")
    losses, best, weights = [], 0, None
    for epoch in range(max_epochs):
        train_epoch()
        losses.append(validate())
        if epoch == 0 or losses[epoch] < losses[best]:
            best = epoch
            weights = {name: value.clone() for name, value in model.state_dict().items()}
        if epoch - best >= patience:
            break
    model.load_state_dict(weights)
    return losses
"""

MEASURES_RIGHT = """
def measures(tn, fp, fn, tp):
    total = tn + fp + fn + tp
    if total == 0 or any(count < 0 for count in (tn, fp, fn, tp)):
        raise ValueError("contagens que não servem")
    precision = tp / (tp + fp) if tp + fp > 0 else 0.0
    recall = tp / (tp + fn) if tp + fn > 0 else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
    return dict(f1=f1, recall=recall, precision=precision, accuracy=1 - (fp + fn) / total)
"""

BOOTSTRAP_RIGHT = """
def bootstrap(labels, predictions, measure, n_resamples=1000, confidence=0.95, seed=123):
    if labels.shape != predictions.shape:
        raise ValueError("tamanhos diferentes")
    generator = np.random.RandomState(seed)
    pairs = np.stack([labels, predictions])
    values = np.empty(n_resamples)
    for i in range(n_resamples):
        values[i] = measure(*pairs[:, generator.choice(pairs.shape[1], pairs.shape[1])])
    tail = 100 * (1 - confidence) / 2
    return measure(labels, predictions), np.percentile(values, tail), np.percentile(values, 100 - tail)
"""

EXERCISES = {
    "06_lotes": Exercise(
        right=MEASURE_RIGHT,
        wrong=(
            Wrong(
                "média dos lotes",
                "Isto é a média dos lotes",
                changes={
                    ', reduction="sum"': "",
                    "(logits.argmax(dim=-1) == labels).sum()": "(logits.argmax(dim=-1) == labels).float().mean()",
                    "examples += len(labels)": "examples += 1",
                },
            ),
            Wrong(
                "perda média do lote dividida pelas mensagens",
                "Veja a última posição",
                changes={', reduction="sum"': ""},
            ),
            Wrong(
                "soma sem dividir",
                "falta dividir",
                changes={"total_loss / examples": "total_loss"},
            ),
            Wrong("lê a primeira posição", "última posição", changes={"[:, -1, :]": "[:, 0, :]"}),
            Wrong(
                "não volta ao modo em que estava",
                "não voltou ao modo",
                changes={"    model.train(was_training)\n": ""},
            ),
            Wrong("volta sempre ao treino", "não voltou ao modo", changes={"train(was_training)": "train()"}),
            Wrong("mede em modo de treino", "model.eval()", changes={"    model.eval()\n": ""}),
            Wrong(
                "não recusa o carregador vazio",
                "deveria levantar ValueError",
                changes={"if examples == 0:": "if examples < 0:"},
            ),
            Wrong(
                "devolve tensores",
                "esperava um número",
                changes={"return total_loss /": "return torch.tensor(total_loss) /"},
            ),
            Wrong(
                "desliga os gradientes de vez",
                "desligou os gradientes",
                changes={"    with torch.no_grad():": "    torch.set_grad_enabled(False)\n    if True:"},
            ),
            Wrong(
                "percorre o carregador duas vezes",
                "ao menos um lote",
                changes={"    with torch.no_grad():": "    list(data_loader)\n    with torch.no_grad():"},
            ),
            Wrong("só a perda", "esperava os 2 valores", changes={", correct / examples": ""}),
        ),
    ),
    "06_passo": Exercise(
        right=STEP_RIGHT,
        wrong=(
            Wrong("esquece zero_grad", "veja se os de antes entraram", changes={"    optimizer.zero_grad()\n": ""}),
            Wrong(
                "zera antes do passo",
                "Confira a ordem das linhas",
                changes={"    optimizer.step()": "    optimizer.zero_grad()\n    optimizer.step()"},
            ),
            Wrong("não dá o passo", "Confira a ordem das linhas", changes={"    optimizer.step()\n": ""}),
            Wrong(
                "passo antes da volta",
                "Confira a ordem das linhas",
                changes={
                    "    optimizer.step()\n": "",
                    "    loss.backward()": "    optimizer.step()\n    loss.backward()",
                },
            ),
            Wrong(
                "perda de depois",
                "perda de depois do passo",
                changes={
                    "    return loss.item()": "    loss = F.cross_entropy(model(input_batch)[:, -1, :], target_batch)\n"
                    "    return loss.item()"
                },
            ),
            Wrong(
                "corta depois do passo",
                "o corte antes do step()",
                changes={
                    "    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), limit)\n    optimizer.step()": (
                        "    optimizer.step()\n    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), limit)"
                    )
                },
            ),
            Wrong(
                "norma de depois do corte",
                "depois do corte",
                changes={"return loss.item(), norm.item()": "return loss.item(), min(norm.item(), limit)"},
            ),
            Wrong(
                "corta sempre em 1",
                "depois do passo",
                changes={'float("inf") if max_norm is None else max_norm': "0.001"},
            ),
            Wrong(
                "não corta",
                "o corte antes do step()",
                changes={'float("inf") if max_norm is None else max_norm': 'float("inf")'},
            ),
            Wrong(
                "dá o passo com perda nan",
                "deveria levantar ValueError",
                changes={"if not math.isfinite(loss.item()):": "if False:"},
            ),
            Wrong(
                "confere depois do passo",
                "um parâmetro mudou",
                changes={
                    "    if not math.isfinite(loss.item()):": "    if False:",
                    "    optimizer.step()\n": (
                        "    optimizer.step()\n    if not math.isfinite(loss.item()):\n        raise ValueError(1)\n"
                    ),
                },
            ),
            Wrong(
                "devolve tensores",
                "esperava um número",
                changes={"return loss.item(), norm.item()": "return loss, norm"},
            ),
            Wrong("fica em modo de avaliação", "modo de treino", changes={"model.train()": "model.eval()"}),
            Wrong(
                "soma as perdas",
                "É a entropia cruzada",
                changes={", target_batch)": ', target_batch, reduction="sum")'},
            ),
        ),
    ),
    "06_parada": Exercise(
        right=PATIENCE_RIGHT,
        wrong=(
            Wrong(
                "guarda sem copiar",
                "Os pesos são os da última época",
                changes={
                    "    " * 3 + "best_weights = copy.deepcopy(model.state_dict())": "    " * 3
                    + "best_weights = model.state_dict()"
                },
            ),
            Wrong(
                "não devolve os pesos", "os da última época", changes={"    model.load_state_dict(best_weights)\n": ""}
            ),
            Wrong(
                "a paciência não recomeça",
                "Confira quando parar",
                changes={"best_loss, waited = losses[-1], 0": "best_loss = losses[-1]"},
            ),
            Wrong(
                "igual é melhora", "Confira quando parar", changes={"losses[-1] < best_loss": "losses[-1] <= best_loss"}
            ),
            Wrong("uma época a mais", "Confira quando parar", changes={"waited < patience": "waited <= patience"}),
            Wrong(
                "compara com a anterior, e não com a melhor",
                "Confira quando parar",
                changes={"            waited += 1": "            waited += 1\n            best_loss = losses[-1]"},
            ),
            Wrong("ignora max_epochs", "StopIteration", changes={"len(losses) < max_epochs and ": ""}),
            Wrong(
                "valida duas vezes",
                "StopIteration",
                changes={"losses.append(validate())": "losses.append(validate() and validate())"},
            ),
            Wrong("aceita paciência zero", "deveria levantar ValueError", changes={"number < 1": "number < 0"}),
            Wrong("devolve a melhor", "esperava uma lista", changes={"return losses": "return best_loss"}),
            Wrong(
                "melhora é subir",
                "Confira quando parar",
                changes={"losses[-1] < best_loss": "losses[-1] > best_loss", 'float("inf")': '-float("inf")'},
            ),
        ),
    ),
    "06_medidas": Exercise(
        right=MEASURES_RIGHT,
        wrong=(
            Wrong(
                "precisão e revocação trocadas",
                "FP e FN estão trocados",
                changes={
                    '"precision": ratio(tp, tp + fp)': '"precision": ratio(tp, tp + fn)',
                    '"recall": ratio(tp, tp + fn)': '"recall": ratio(tp, tp + fp)',
                },
            ),
            Wrong(
                "média simples no F1",
                "o F1 é a harmônica",
                changes={"ratio(2 * tp, 2 * tp + fp + fn)": "(ratio(tp, tp + fp) + ratio(tp, tp + fn)) / 2"},
            ),
            Wrong("divide por zero", "ZeroDivisionError", changes={" if below else 0.0": ""}),
            Wrong("devolve 0 inteiro", "esperava um float", changes={" else 0.0": " else 0"}),
            Wrong("aceita tudo zero", "ZeroDivisionError", changes={" or sum(counts) == 0": ""}),
            Wrong("aceita negativas", "deveria levantar ValueError", changes={"min(counts) < 0 or ": ""}),
            Wrong("esquece os negativos certos", "accuracy", changes={"(tn + tp) / sum(counts)": "tp / sum(counts)"}),
            Wrong("outro nome", "São quatro medidas", changes={'"f1"': '"F1"'}),
        ),
    ),
    "06_intervalo": Exercise(
        right=BOOTSTRAP_RIGHT,
        wrong=(
            Wrong(
                "sem reposição",
                "largura zero",
                changes={"random.integers(0, len(labels), size=len(labels))": "random.permutation(len(labels))"},
            ),
            Wrong(
                "sorteia em separado",
                "com os mesmos índices",
                changes={
                    "predictions[rows]))": "predictions[random.integers(0, len(labels), size=len(labels))]))",
                },
            ),
            Wrong(
                "gerador global",
                "o gerador global mudou",
                changes={
                    "random = np.random.default_rng(seed)": "np.random.seed(seed)",
                    "random.integers(": "np.random.randint(",
                },
            ),
            Wrong(
                "metade das mensagens, sem reposição",
                "com reposição",
                changes={
                    "random.integers(0, len(labels), size=len(labels))": (
                        "random.permutation(len(labels))[: len(labels) // 2]"
                    )
                },
            ),
            Wrong("semente fixa", "Use a semente recebida", changes={"default_rng(seed)": "default_rng(0)"}),
            Wrong("sem semente", "os resultados diferem", changes={"default_rng(seed)": "default_rng()"}),
            Wrong(
                "só a metade das mensagens", "Confira o quantil", changes={"size=len(labels)": "size=len(labels) // 2"}
            ),
            Wrong(
                "quantis de um lado só",
                "confira os quantis",
                changes={"[(1 - confidence) / 2, (1 + confidence) / 2]": "[1 - confidence, confidence]"},
            ),
            Wrong(
                "confiança sempre 95%",
                "Confira os quantis",
                changes={"[(1 - confidence) / 2, (1 + confidence) / 2]": "[0.025, 0.975]"},
            ),
            Wrong(
                "o mínimo e o máximo",
                "Confira o quantil",
                changes={"[(1 - confidence) / 2, (1 + confidence) / 2]": "[0, 1]"},
            ),
            Wrong(
                "a média das reamostras",
                "nas mensagens originais",
                changes={"float(measure(labels, predictions))": "float(np.mean(values))"},
            ),
            Wrong("mil reamostras sempre", "Sorteie n_resamples vezes", changes={"range(n_resamples)": "range(1000)"}),
            Wrong(
                "não confere os tamanhos",
                "deveria levantar ValueError",
                changes={"len(labels) != len(predictions)": "False"},
            ),
            Wrong(
                "sempre a acurácia",
                "nas mensagens originais",
                changes={"float(measure(labels, predictions))": "float(np.mean(labels == predictions))"},
            ),
            Wrong(
                "ao contrário",
                "os limites estão trocados",
                changes={"float(low), float(high)": "float(high), float(low)"},
            ),
        ),
    ),
}

SURVIVORS = {
    (
        "06_lotes",
        "correct += (logits.argmax(dim=-1) == labels).sum().item() → correct += (logits.argmax(dim=1) == "
        "labels).sum().item()",
    ): "os logits têm duas dimensões: a 1 é a última",
    (
        "06_parada",
        "losses, best_loss, waited = ([], float('inf'), 0) → losses, best_loss, waited = ([], float('inf'), -1)",
    ): "a primeira época sempre melhora, e melhorar põe o contador em zero",
    (
        "06_parada",
        "best_weights = copy.deepcopy(model.state_dict()) → pass",
    ): "a primeira época sempre melhora, e então os pesos são guardados",
}
