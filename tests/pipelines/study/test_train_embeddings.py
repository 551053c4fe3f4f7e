import json
from pathlib import Path

import pytest

from groundup.embeddings.vectors import WordVectors
from groundup.errors import BadInput
from groundup.tracking import silent
from pipelines.study.train_embeddings import main
from tests.embeddings import toy
from tests.pipelines.study.embedding_texts import make_texts, write_rows
from tests.tiny import CPU


def train(folder: Path, method: str, corpus: str) -> tuple[WordVectors, dict]:
    main(
        silent(), method, corpus, folder / "corpus", folder / "verses", folder / "vectors",
        folder / "metrics.json", folder / "state", train_embeddings=toy.config(epochs=2), compute=CPU,
    )  # fmt: skip
    return WordVectors.load(folder / "vectors"), json.loads((folder / "metrics.json").read_text())


@pytest.mark.parametrize(("method", "corpus"), [("skipgram", "chat"), ("cbow", "mix"), ("glove", "mix")])
def test_writes_vectors_and_metrics(tmp_path, method, corpus):
    vectors, figures = train(make_texts(tmp_path), method, corpus)
    assert ("unto" in vectors) == (corpus == "mix")  # a word of the verses alone
    assert figures["words"] == 90 * 30 + (corpus == "mix") * 30 * 31
    assert figures["vocabulary"] == len(vectors.words) == len(vectors.matrix)
    assert figures["steps"] > 0
    assert (vectors.facts["method"], vectors.facts["corpus"]) == (method, corpus)
    assert not (tmp_path / "state").exists()


def test_missing_inputs_are_errors(tmp_path):
    make_texts(tmp_path)
    with pytest.raises(BadInput, match="found method fasttext"):
        train(tmp_path, "fasttext", "chat")
    write_rows(tmp_path / "corpus" / "train.jsonl", [{"id": "1", "messages": ["hello hello hello"]}])
    with pytest.raises(BadInput, match="expected two or more such words"):
        train(tmp_path, "cbow", "chat")
