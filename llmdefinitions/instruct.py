"""Um modelo que já passou por ajuste fino por instrução, para comparar com os que só foram pré-treinados.

É o SmolLM2-135M-Instruct (Allal et al., 2025), quantizado em 4 bits no formato GGUF; aqui ele volta a FP32.
"""

from unittest.mock import patch

import torch

from .checks import check_integer, check_text
from .features import quiet_transformers
from .progress import progress_bar
from .sources import EMBEDDED_SMOLLM2, packaged_file


def load_smollm2():
    """Carrega o SmolLM2-135M-Instruct que vem com o curso; não usa a internet.

    Returns:
        ``(tokenizer, model, origin)``: o tokenizador e o modelo da biblioteca transformers (FP32, em modo de
        avaliação) e uma frase que diz de onde vieram os pesos.

    Raises:
        SourceError: se o pacote com os pesos não está instalado ou foi alterado.
    """
    path = packaged_file(EMBEDDED_SMOLLM2)
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # A barra da conversão não obedece a quiet_transformers: no lugar dela vai a do curso.
    bar = patch("transformers.modeling_gguf_pytorch_utils.tqdm", _conversion_bar)
    with quiet_transformers(), bar:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        model = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
        )
    return tokenizer, model.eval(), "SmolLM2-135M-Instruct em 4 bits, convertido para FP32 (embutido no curso)"


def follow_instruction(instruction, tokenizer, model, max_new_tokens=60):
    """Faz um pedido ao modelo, no formato de conversa com que ele foi treinado, e devolve a resposta.

    Args:
        instruction: o pedido, em texto.
        tokenizer, model: os de ``load_smollm2``.
        max_new_tokens: comprimento máximo da resposta, em tokens; a escolha de cada um é gulosa.

    Returns:
        A resposta (``str``), sem os marcadores da conversa.

    Raises:
        TypeError, ValueError: se um argumento não serve.
    """
    check_text("instruction", instruction)
    check_integer("max_new_tokens", max_new_tokens, minimum=1)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": instruction}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    ).to(model.device)
    with torch.no_grad():
        generated = model.generate(**prompt, max_new_tokens=max_new_tokens, do_sample=False)  # (1, T + novos)
    answer = generated[0, prompt["input_ids"].shape[1] :]
    return tokenizer.decode(answer, skip_special_tokens=True).strip()


def mark_answer(instruction, answer, tokenizer):
    """Separa em tokens um exemplo de ajuste por instrução e marca os que entram na perda: os da resposta.

    Args:
        instruction: o pedido, em texto.
        answer: a resposta que o modelo deve aprender.
        tokenizer: o de ``load_smollm2``, que sabe o formato da conversa.

    Returns:
        Lista de pares ``(texto do token, se conta na perda)``; o token que encerra a resposta também conta.

    Raises:
        TypeError: se um dos textos não é um texto.
    """
    check_text("instruction", instruction)
    check_text("answer", answer)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": instruction}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    answer_ids = tokenizer(answer + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    return [(tokenizer.decode([token]), False) for token in prompt] + [
        (tokenizer.decode([token]), True) for token in answer_ids
    ]


def _conversion_bar(tensors, **_):
    return progress_bar(tensors, "convertendo os pesos", "tensor")
