"""As mensagens cifradas e autenticadas entre a correção e o kernel."""

import pytest

from grading.sealing import SealError, seal, unseal

KEY = bytes(range(32))


@pytest.mark.parametrize("message", [b"", b"x", "ação".encode(), bytes(100_000)])
def test_what_is_sealed_comes_back_whole(message):
    assert unseal(KEY, "ida", 7, seal(KEY, "ida", 7, message)) == message


def test_the_sealed_message_shows_nothing_of_the_text():
    sealed = seal(KEY, "ida", 0, b"esperado = 42" * 10)
    assert b"esperado" not in sealed
    assert seal(KEY, "ida", 1, b"esperado = 42" * 10)[32:] != sealed[32:]


@pytest.mark.parametrize(
    ("key", "direction", "number"),
    [(bytes(32), "ida", 3), (KEY, "volta", 3), (KEY, "ida", 2), (KEY, "ida", 4)],
    ids=["outra chave", "outro sentido", "repetida", "fora de ordem"],
)
def test_a_message_only_opens_with_its_key_direction_and_number(key, direction, number):
    with pytest.raises(SealError):
        unseal(key, direction, number, seal(KEY, "ida", 3, b"passou"))


@pytest.mark.parametrize("position", [0, 31, 32, 37])
def test_changing_any_byte_is_noticed(position):
    sealed = bytearray(seal(KEY, "volta", 0, b"passou"))
    sealed[position] ^= 1
    with pytest.raises(SealError):
        unseal(KEY, "volta", 0, bytes(sealed))


@pytest.mark.parametrize("rubbish", [b"", b"curta", bytes(32)])
def test_rubbish_is_not_a_message(rubbish):
    with pytest.raises(SealError):
        unseal(KEY, "volta", 0, rubbish)
