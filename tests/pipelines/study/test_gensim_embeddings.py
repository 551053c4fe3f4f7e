import json

import pytest

from groundup.embeddings.vectors import WordVectors
from groundup.errors import BadInput
from groundup.tracking import silent
from pipelines.study.gensim_embeddings import main
from tests.embeddings import toy
from tests.pipelines.study.embedding_texts import make_texts
from tests.tiny import CPU


def test_writes_vectors_and_metrics(tmp_path):
    folder = make_texts(tmp_path)
    paths = (folder / "corpus", folder / "verses", folder / "vectors", folder / "metrics.json")
    main(silent(), "cbow", "mix", *paths, train_embeddings=toy.config(), compute=CPU)
    vectors, figures = WordVectors.load(folder / "vectors"), json.loads((folder / "metrics.json").read_text())
    assert (vectors.facts["by"], vectors.facts["corpus"]) == ("gensim", "mix")
    assert "unto" in vectors
    assert figures["words"] == 90 * 30 + 30 * 31
    assert figures["vocabulary"] == len(vectors.words)
    with pytest.raises(BadInput, match="found method glove"):
        main(silent(), "glove", "mix", *paths, train_embeddings=toy.config(), compute=CPU)
