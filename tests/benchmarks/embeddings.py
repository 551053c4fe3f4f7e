"""Word vectors: one epoch of Word2Vec on the chit-chat corpus, with groundup and with gensim.

Both read the same words and have the settings of the study; gensim has one worker per thread.
"""

from typing import Any

from tests.benchmarks.runner import ROOT, Contender, Goal, Row


def row(name: str, method: str, title: str) -> Row:
    """The row of one method."""
    return Row(
        name,
        f"{title}, 100 dimensions, 5 negatives, window 5",
        "words/s",
        (
            Contender("gensim", f"{__name__}.word2vec", {"method": method, "by": "train_with_gensim"}),
            Contender("groundup", f"{__name__}.word2vec", {"method": method, "by": "train"}, ours=True),
        ),
        (Goal("groundup", "gensim", 1.0, "gensim"),),
        rounds=5,
        seconds=0,
        gigabytes=2,
    )


ROWS = (row("skip-gram", "skipgram", "Word2Vec, skip-gram"), row("cbow", "cbow", "Word2Vec, CBOW"))


def word2vec(watch: Any, method: str, by: str) -> None:
    """Train one epoch; the time includes the first steps of either program, not the vocabulary."""
    from dataclasses import replace

    import yaml
    from pydantic import TypeAdapter

    from groundup.embeddings import learning
    from groundup.embeddings.config import EmbeddingsConfig
    from groundup.embeddings.vocabulary import build_vocabulary, split_words
    from tests.benchmarks.tokenization import documents
    from tests.benchmarks.training import compute_config

    values = yaml.safe_load((ROOT / "pipelines/study/params.yaml").read_text(encoding="utf-8"))
    config = TypeAdapter(EmbeddingsConfig).validate_python(values["train_embeddings"])
    config = replace(config, word2vec=replace(config.word2vec, epochs=1), checkpoint_interval=0)
    texts = [split_words(text) for text in documents()]
    vocabulary = build_vocabulary(texts, config.min_count)
    compute = compute_config(watch.threads)
    more = {"log": lambda row, step: None} if by == "train" else {}
    while True:
        getattr(learning, by)(method, texts, vocabulary, config, compute, **more)
        watch(sum(map(len, texts)))
