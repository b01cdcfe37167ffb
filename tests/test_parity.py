"""Paridade: os mesmos números que o ``transformers`` e que o pacote do livro, ``llms-from-scratch``."""

import copy

import pytest
import torch
from safetensors.torch import save_file

from llmdefinitions import (
    GPTModel,
    build_model,
    calc_accuracy_loader,
    calc_loss_batch,
    calc_loss_loader,
    create_data_loaders,
    evaluate_model,
    generate_text_simple,
    load_weights_into_gpt,
    model_config,
    prepare_for_classification,
    text_to_token_ids,
    train_classifier_simple,
)
from llmdefinitions.weights import read_gpt2

CPU = torch.device("cpu")


def hugging_face_gpt2(cfg, spread):
    """Sorteia um ``GPT2LMHeadModel`` com pesos de desvio-padrão ``spread``."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=cfg["vocab_size"],
        n_positions=cfg["context_length"],
        n_embd=cfg["emb_dim"],
        n_layer=cfg["n_layers"],
        n_head=cfg["n_heads"],
        initializer_range=spread,
    )
    torch.manual_seed(11)
    return GPT2LMHeadModel(config).eval()


def save_like_the_hub(reference, folder):
    """Grava os arquivos como estão publicados: sem o prefixo, sem a cabeça, com as máscaras causais."""
    length = reference.config.n_positions
    tensors = {f"h.{i}.attn.bias": torch.ones(1, 1, length, length).tril() for i in range(reference.config.n_layer)}
    reference.config.save_pretrained(folder)
    save_file(tensors | reference.transformer.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})


def load_ours(folder, cfg):
    with torch.device("meta"):
        model = GPTModel(cfg)
    load_weights_into_gpt(model, read_gpt2(folder, cfg)[1])
    return model.eval()


@pytest.fixture(scope="module")
def tiny_cfg():
    return model_config() | {"context_length": 48, "emb_dim": 32, "n_layers": 3, "n_heads": 4}


@pytest.fixture(scope="module")
def tiny_reference(tiny_cfg):
    return hugging_face_gpt2(tiny_cfg, spread=0.3)


@pytest.fixture(params=["publicado", "save_pretrained"])
def tiny_ours(request, tmp_path, tiny_reference, tiny_cfg):
    """O nosso modelo com os pesos do de referência, lidos de um arquivo em cada um dos dois modos de escrever."""
    if request.param == "publicado":
        save_like_the_hub(tiny_reference, tmp_path)
    else:
        tiny_reference.save_pretrained(tmp_path)
    return load_ours(tmp_path, tiny_cfg)


@torch.no_grad()
def assert_same_logits(ours, reference, ids):
    torch.testing.assert_close(ours(ids), reference(ids).logits, atol=1e-4, rtol=0)


def test_logits_equal_transformers(tiny_ours, tiny_reference):
    torch.manual_seed(2)
    assert_same_logits(tiny_ours, tiny_reference, torch.randint(0, 50257, (3, 48)))


def greedy(reference, ids, max_new_tokens):
    return reference.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=50256,
    )


def test_greedy_generation_equals_transformers_token_by_token(tiny_ours, tiny_reference, tokenizer):
    for text in ("Every effort moves you", "Free entry in 2 a wkly comp", "<|endoftext|>"):
        ids = text_to_token_ids(text, tokenizer)
        generated = generate_text_simple(tiny_ours, ids, max_new_tokens=30, context_size=48)
        assert generated.tolist() == greedy(tiny_reference, ids, 30).tolist()
        assert len(set(generated[0].tolist())) > 5, "a geração de referência é repetitiva demais para provar algo"


def test_the_whole_124m_equals_transformers(tmp_path, tokenizer):
    cfg = model_config("gpt2-small (124M)")
    reference = hugging_face_gpt2(cfg, spread=0.1)
    save_like_the_hub(reference, tmp_path)
    ours, _ = build_model("gpt2-small (124M)", models_dir=tmp_path)
    ids = text_to_token_ids("Every effort moves you forward. The first step is to understand", tokenizer)
    assert_same_logits(ours, reference, ids)
    generated = generate_text_simple(ours, ids, max_new_tokens=5, context_size=1024)
    assert generated.tolist() == greedy(reference, ids, 5).tolist()


@pytest.fixture(scope="module")
def book():
    """O módulo ``ch04`` do pacote do livro."""
    return pytest.importorskip(
        "llms_from_scratch.ch04", reason="falta llms-from-scratch: pip install --no-deps llms-from-scratch"
    )


@pytest.fixture
def ch06(book):
    from llms_from_scratch import ch06

    return ch06


@pytest.fixture
def book_model(book, tiny_config):
    torch.manual_seed(4)
    model = book.GPTModel(tiny_config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def test_the_books_state_dict_gives_the_books_logits(book_model, tiny_config):
    ours = GPTModel(tiny_config).eval()
    ours.load_state_dict(book_model.state_dict())
    ids = torch.randint(0, 50257, (3, 32))
    torch.testing.assert_close(ours(ids), book_model(ids), atol=1e-5, rtol=1e-5)


def test_our_params_enter_the_books_model(tmp_path, book, tiny_reference, tiny_cfg):
    from llms_from_scratch.ch05 import load_weights_into_gpt as load_like_the_book

    save_like_the_hub(tiny_reference, tmp_path)
    _, params = read_gpt2(tmp_path, tiny_cfg)
    theirs = book.GPTModel(tiny_cfg).eval()
    load_like_the_book(theirs, params)
    assert_same_logits(theirs, tiny_reference, torch.randint(0, 50257, (2, 48)))


def test_the_books_measures_equal_ours(ch06, tiny_classifier, tiny_loaders):
    train_loader, val_loader, _ = tiny_loaders
    inputs, labels = next(iter(val_loader))
    assert torch.equal(
        calc_loss_batch(inputs, labels, tiny_classifier, CPU),
        ch06.calc_loss_batch(inputs, labels, tiny_classifier, CPU),
    )
    for num_batches in (None, 2):
        for ours, theirs in (
            (calc_accuracy_loader, ch06.calc_accuracy_loader),
            (calc_loss_loader, ch06.calc_loss_loader),
        ):
            expected = theirs(val_loader, tiny_classifier, CPU, num_batches=num_batches)
            assert ours(val_loader, tiny_classifier, CPU, num_batches=num_batches) == pytest.approx(expected, abs=1e-12)

    def measure(function):
        torch.manual_seed(8)  # o carregador de treino embaralha
        return function(tiny_classifier, train_loader, val_loader, CPU, eval_iter=3)

    assert measure(evaluate_model) == pytest.approx(measure(ch06.evaluate_model), abs=1e-12)


def book_classifier(book_model):
    """O classificador da aula sobre o modelo do livro: tudo congelado, menos o último bloco, a norma e a cabeça."""
    for parameter in book_model.parameters():
        parameter.requires_grad = False
    torch.manual_seed(123)
    book_model.out_head = torch.nn.Linear(16, 2)
    for module in (book_model.trf_blocks[-1], book_model.final_norm):
        for parameter in module.parameters():
            parameter.requires_grad = True
    return book_model


def train(function, model, loaders):
    train_loader, val_loader, _ = loaders
    torch.manual_seed(123)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    *histories, examples_seen = function(
        model, train_loader, val_loader, optimizer, CPU, num_epochs=3, eval_freq=2, eval_iter=2
    )
    return [value for history in histories for value in history], examples_seen


def test_the_books_training_equals_ours_on_the_same_model(ch06, tiny_classifier, tiny_loaders):
    twin = copy.deepcopy(tiny_classifier)
    assert train(train_classifier_simple, tiny_classifier, tiny_loaders) == train(
        ch06.train_classifier_simple, twin, tiny_loaders
    )
    for (name, ours), theirs in zip(tiny_classifier.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_the_books_whole_pipeline_equals_ours(ch06, book_model, tiny_config, spam_csv, tokenizer):
    from llmdefinitions import SpamDataset

    ours = GPTModel(tiny_config).eval()
    ours.load_state_dict(book_model.state_dict())
    prepare_for_classification(ours)

    def loaders(dataset_class):
        dataset = dataset_class(spam_csv, tokenizer, max_length=32)
        return create_data_loaders(dataset, dataset, dataset)

    our_numbers, our_examples = train(train_classifier_simple, ours, loaders(SpamDataset))
    their_numbers, their_examples = train(
        ch06.train_classifier_simple, book_classifier(book_model), loaders(ch06.SpamDataset)
    )
    assert our_numbers == pytest.approx(their_numbers, abs=1e-5)
    assert our_examples == their_examples == 120
