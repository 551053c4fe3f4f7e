"""Train a vocabulary of the study on train of the corpus, or use GPT-2's, and measure it on text."""

import time
from pathlib import Path

from groundup.files import write_json
from groundup.interop.import_tokenizer import gpt2_tokenizer
from groundup.text.documents import text_of
from groundup.tokenizers.bpe import GPT2Config
from groundup.tokenizers.loading import Tokenizer
from groundup.tokenizers.measures import encode_megabytes_per_second, text_measures
from groundup.tokenizers.vocabularies import (
    TrainVocabularyConfig,
    VocabularyConfig,
    first_merges,
    learn,
)
from groundup.tracking import Run
from groundup.training.shards import SPLITS, never_used, read_documents, write_shards


def main(
    run: Run,
    name: str,
    corpus: Path,
    gpt2: Path,
    out: Path,
    tokens: Path,
    metrics: Path,
    *,
    vocabularies: dict[str, VocabularyConfig],
    train_vocabulary: TrainVocabularyConfig,
) -> None:
    """Write the tokenizer of the vocabulary `name`, its metrics on val, and the corpus as token shards."""
    config = vocabularies[name]
    texts = {
        split: [text_of(messages) for messages in read_documents(corpus / f"{split}.jsonl")]
        for split in SPLITS
    }
    start = time.perf_counter()
    trained: Tokenizer
    if isinstance(config, GPT2Config):
        trained = gpt2_tokenizer(gpt2 / "vocab.bpe", gpt2 / "encoder.json")
    else:
        trained = learn(config, texts["train"], progress=True)
    seconds = time.perf_counter() - start
    trained.save(out)
    write_shards(corpus, trained, tokens, progress=True)
    figures = {
        "vocab_size": trained.vocab_size,
        "train_seconds": round(seconds, 2),
        "never_used": round(never_used(tokens), 6),
        "encode_megabytes_per_second": round(encode_megabytes_per_second(out, texts["val"]), 3),
        **{key: round(value, 6) for key, value in text_measures(trained, texts["val"]).items()},
    }
    write_json(metrics, {**figures, "merges": first_merges(trained, train_vocabulary.merges)})
    run.params({"tokenizer": name})
    run.log(figures)
    run.tag("tokenizer.fingerprint", trained.fingerprint)
    run.artifact(out)
