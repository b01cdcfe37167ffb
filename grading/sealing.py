"""Mensagens entre a correção e o kernel que o código da entrega não consegue ler nem forjar.

Os dois lados têm uma chave, sorteada para cada kernel. A mensagem é cifrada com uma sequência que sai da chave e de um
número que não se repete, e autenticada (BLAKE2 com chave, RFC 7693). Quem só tem o soquete não aprende nada com ele.
"""

from hashlib import blake2b, shake_256
from hmac import compare_digest

TAG_BYTES = 32


class SealError(ValueError):
    """A mensagem não foi escrita por quem tem a chave, ou não é a que se esperava agora."""


def seal(key, direction, number, message):
    """Cifra e autentica uma mensagem.

    Args:
        key: a chave, de 32 bytes.
        direction: ``"ida"``, da correção para o kernel, ou ``"volta"``.
        number: o número da mensagem nesse sentido; nunca se repete.
        message: os bytes da mensagem.

    Returns:
        Os bytes a enviar.
    """
    hidden = _combine(message, key, direction, number)
    return _tag(hidden, key, direction, number) + hidden


def unseal(key, direction, number, sealed):
    """Confere e decifra uma mensagem.

    Args:
        key, direction, number: os mesmos com que ela foi feita.
        sealed: os bytes recebidos.

    Returns:
        Os bytes da mensagem.

    Raises:
        SealError: se ela não foi feita com esta chave, neste sentido e com este número.
    """
    tag, hidden = sealed[:TAG_BYTES], sealed[TAG_BYTES:]
    if not compare_digest(tag, _tag(hidden, key, direction, number)):
        raise SealError("a mensagem não foi escrita por quem tem a chave, ou está fora de ordem")
    return _combine(hidden, key, direction, number)


def _combine(data, key, direction, number):
    stream = shake_256(key + f"{direction} {number}".encode()).digest(len(data))
    return (int.from_bytes(data) ^ int.from_bytes(stream)).to_bytes(len(data))


def _tag(hidden, key, direction, number):
    return blake2b(hidden, digest_size=TAG_BYTES, key=key, person=f"{direction} {number}".encode()).digest()
