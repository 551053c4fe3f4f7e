import pytest
from pydantic import TypeAdapter, ValidationError

from groundup.tokenizers.bpe import BPETokenizer, BytePairConfig, GPT2Config
from groundup.tokenizers.characters import CharacterTokenizer
from groundup.tokenizers.normalization import Normalization
from groundup.tokenizers.vocabularies import (
    CharacterConfig,
    VocabularyConfig,
    after_merges,
    first_merges,
    learn,
)
from groundup.tokenizers.wordpiece import WordPieceConfig, WordPieceTokenizer, WordRules

TEXTS = ["low low lower lowest", "new newer newest"]
BPE = BytePairConfig("bpe", 264, "gpt2")
WORDPIECE = WordPieceConfig(
    "wordpiece", 30, WordRules(Normalization(True, True, False, False), "bert", 100), 30, 2
)


def test_each_kind_is_learned_by_its_class() -> None:
    assert learn(BPE, TEXTS).fingerprint == BPETokenizer.train(TEXTS, 264).fingerprint
    assert (
        learn(CharacterConfig("character"), TEXTS).fingerprint == CharacterTokenizer.train(TEXTS).fingerprint
    )
    assert learn(WORDPIECE, TEXTS).fingerprint == WordPieceTokenizer.train(TEXTS, WORDPIECE).fingerprint


def test_without_merges_a_token_is_a_byte() -> None:
    tokenizer = learn(BytePairConfig("bpe", 257, "gpt2"), TEXTS)
    assert tokenizer.encode("low é") == list("low é".encode())
    assert first_merges(tokenizer, 5) == []


def test_first_merges_as_people_read_them() -> None:
    # " low" three times, w+e 6 times with new, newer, newest and lower, lowest (w+e: lowe, lowe, ewe, ewe)
    found = first_merges(learn(BPE, TEXTS), 3)
    assert found[0] == {"left": "l", "right": "o", "piece": "lo", "count": 4}
    assert {"left", "right", "piece", "count"} == found[1].keys()
    assert first_merges(learn(CharacterConfig("character"), TEXTS), 3) == []
    scored = first_merges(learn(WORDPIECE, TEXTS), 2)
    assert len(scored) == 2
    assert scored[0].keys() == {"left", "right", "piece", "count", "score"}


@pytest.mark.parametrize("config", [BPE, WORDPIECE])
def test_after_all_merges_it_is_the_same_and_after_none_it_knows_single_letters(
    config: BytePairConfig | WordPieceConfig,
) -> None:
    tokenizer = learn(config, TEXTS)
    merges = len(first_merges(tokenizer, 1000))
    assert after_merges(tokenizer, merges).pieces("lowest newer") == tokenizer.pieces("lowest newer")
    single = [piece.removeprefix("##") for piece in after_merges(tokenizer, 0).pieces("lowest")]
    assert single == list("lowest")
    lengths = [len(after_merges(tokenizer, n).pieces("lowest newer low")) for n in range(merges + 1)]
    assert lengths[0] > lengths[-1]


def test_the_character_tokenizer_has_no_merges() -> None:
    tokenizer = learn(CharacterConfig("character"), TEXTS)
    assert after_merges(tokenizer, 3) is tokenizer


def test_the_kind_decides_what_a_config_must_say() -> None:
    adapter = TypeAdapter[object](VocabularyConfig)
    assert adapter.validate_python({"kind": "gpt2"}) == GPT2Config("gpt2")
    assert adapter.validate_python({"kind": "bpe", "vocab_size": 264, "pattern": "gpt2"}) == BPE
    for wrong in ({"kind": "unigram"}, {"kind": "bpe"}, {"kind": "character", "vocab_size": 5}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
