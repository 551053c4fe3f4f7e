"""Train word vectors with one of groundup's methods on one corpus."""

import hashlib
from pathlib import Path

from groundup.embeddings.config import EmbeddingsConfig, method_of
from groundup.files import write_json
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run
from groundup.training.config import ComputeConfig


def main(
    run: Run,
    method: str,
    name: str,
    corpus: Path,
    verses: Path,
    out: Path,
    metrics: Path,
    state: Path,
    *,
    train_embeddings: EmbeddingsConfig,
    compute: ComputeConfig,
) -> None:
    """Train on the corpus `name`: "chat", the conversations, or "mix", the conversations and both Bibles."""
    from groundup.embeddings.corpora import corpus_files, read_documents
    from groundup.embeddings.learning import train
    from groundup.embeddings.vocabulary import build_vocabulary
    from groundup.training.resume import Resume

    chosen = method_of(method, name)
    files = corpus_files(name, corpus, verses)
    for file in files:
        run.reads(file, file.parent.name + "-" + file.stem, "training")
    documents = read_documents(*map(read_jsonl, files))
    vocabulary = build_vocabulary(documents, train_embeddings.min_count)
    data = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    resume = Resume(state, method=method, train_embeddings=train_embeddings, compute=compute, data=data)
    learned = train(chosen, documents, vocabulary, train_embeddings, compute, log=run.log, resume=resume)
    learned.vectors.with_facts(corpus=name).save(out)
    figures = {
        "loss": round(learned.history[-1]["train/loss"], 6),
        "seconds": round(learned.seconds, 1),
        "steps": int(learned.history[-1]["step"]),
        "vocabulary": len(vocabulary),
        "words": sum(map(len, documents)),
    }
    write_json(metrics, figures)
    run.log({"seconds": learned.seconds})
    run.pointer(out, "vectors")
    resume.clear()
