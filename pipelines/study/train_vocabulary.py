"""A vocabulary of the study, learned from the training split alone or taken as published, and what it does to text."""

import time
from pathlib import Path

import numpy as np

from groundup.files import write_json
from groundup.interop.gpt2_vocabulary import fetch_gpt2
from groundup.text.documents import text_of
from groundup.tokenizers.loading import Tokenizer
from groundup.tokenizers.measures import encode_megabytes_per_second, text_measures
from groundup.tokenizers.vocabularies import (
    GPT2Config,
    TrainVocabularyConfig,
    VocabularyConfig,
    first_merges,
    learn,
)
from groundup.tracking import Run
from groundup.training.shards import SPLITS, open_shard, read_documents, write_shards


def main(
    run: Run,
    name: str,
    corpus: Path,
    catalogue: Path,
    out: Path,
    tokens: Path,
    metrics: Path,
    *,
    vocabularies: dict[str, VocabularyConfig],
    train_vocabulary: TrainVocabularyConfig,
) -> None:
    """Write the tokenizer, the corpus as its ids, and its figures on the validation split."""
    config = vocabularies[name]
    documents = {split: read_documents(corpus / f"{split}.jsonl") for split in SPLITS}
    start = time.perf_counter()
    trained: Tokenizer
    if isinstance(config, GPT2Config):
        trained = fetch_gpt2(catalogue)
    else:
        trained = learn(config, [text_of(messages) for messages in documents["train"]], progress=True)
    seconds = time.perf_counter() - start
    trained.save(out)
    write_shards(corpus, trained, tokens, progress=True)
    used = np.zeros(trained.vocab_size, dtype=bool)
    for split in SPLITS:
        used[np.unique(open_shard(tokens, split))] = True
    held_out = [text_of(messages) for messages in documents["val"]]
    figures = {
        "vocab_size": trained.vocab_size,
        "train_seconds": round(seconds, 2),
        "never_used": round(1 - float(used.mean()), 6),
        "encode_megabytes_per_second": round(encode_megabytes_per_second(out, held_out), 3),
        **{key: round(value, 6) for key, value in text_measures(trained, held_out).items()},
    }
    write_json(metrics, {**figures, "merges": first_merges(trained, train_vocabulary.merges)})
    run.params({"tokenizer": name})
    run.log(figures)
    run.tag("tokenizer.fingerprint", trained.fingerprint)
    run.artifact(out)
