import pytest

from groundup.tokenizers.spelling import spell, unspell


def test_as_gpt2_spells() -> None:
    assert spell(b" the\n") == "ĠtheĊ"  # as in OpenAI's vocab.bpe
    assert spell("é".encode()) == "Ã©"


def test_every_byte_has_one_printable_character() -> None:
    everything = bytes(range(256))
    assert len(set(spell(everything))) == 256
    assert all(character.isprintable() and not character.isspace() for character in spell(everything))
    assert unspell(spell(everything)) == everything


def test_a_character_that_stands_for_no_byte() -> None:
    with pytest.raises(KeyError):
        unspell("a b")
