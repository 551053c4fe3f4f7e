import random
from collections import Counter
from pathlib import Path

import pytest

from groundup.errors import BadInput
from groundup.parallel.cluster import DaskConfig, ProcessesConfig
from groundup.text.jsonl import write_jsonl
from groundup.tokenizers import counting
from groundup.tokenizers.counting import count_corpus, count_words
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


def test_every_place_counts_a_corpus_alike_in_memory_and_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dask_address: str
) -> None:
    rng = random.Random(2)
    documents = [
        ["".join(rng.choices("ab \n9\u00e9", k=rng.randint(0, 40))) for _ in range(3)] for _ in range(150)
    ]
    write_jsonl(tmp_path / "corpus.jsonl", [{"id": str(i), "messages": m} for i, m in enumerate(documents)])
    expected = count_words(map("\n".join, documents), "gpt2")
    few = dict(sorted(expected.items(), key=lambda pair: (-pair[1], pair[0]))[:50])
    monkeypatch.setattr(counting, "PART_BYTES", 1500)
    places = [
        *(ProcessesConfig("processes", n, 16) for n in (1, 2)),
        DaskConfig("dask", dask_address, 20, 16),
    ]
    for number, place in enumerate(places):
        for name, size in (("memory", 200), ("disk", 10**6)):  # from 16 words on
            monkeypatch.setattr(counting, "WORD_BYTES", size)
            folder = tmp_path / f"{number}{name}"
            folder.mkdir()
            assert count_corpus(tmp_path / "corpus.jsonl", "gpt2", folder, place) == expected
            assert bool([*folder.iterdir()]) == (name == "disk")
            found = count_corpus(tmp_path / "corpus.jsonl", "gpt2", folder, place, max_words=50)
            assert found == few == count_words(map("\n".join, documents), "gpt2", max_words=50)
