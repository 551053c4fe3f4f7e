import random
from collections import Counter

import pytest

from groundup.errors import BadInput
from groundup.tokenizers.counting import count_words
from groundup.tokenizers.pretokenization import compile_pattern, split_words


def test_counts_words() -> None:
    assert count_words(["a b", "a b b"], "gpt2") == {b"a": 2, b" b": 3}


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("(a", "not a valid regular expression"),
        ("(a)|b", "capturing group"),
        (r"\p{L}+", "only a part of a text"),
    ],
)
def test_invalid_patterns_are_refused(pattern: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        count_words(["a b"], pattern)


@pytest.mark.parametrize("n_processes", [1, 2])
def test_parts_and_processes_do_not_change_the_counts(
    n_processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundup.parallel.local.PART_CHARS", 50)
    rng = random.Random(1)
    texts = ["".join(rng.choice("ab '\n9é🙂") for _ in range(rng.choice([0, 1, 9, 70]))) for _ in range(200)]
    expected = Counter(word for text in texts for word in split_words(compile_pattern("gpt2"), text))
    found = count_words(iter(texts), "gpt2", n_processes=n_processes)
    assert found == {word.encode(): n for word, n in expected.items()}
