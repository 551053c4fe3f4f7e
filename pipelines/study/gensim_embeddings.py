"""Train gensim's word2vec with the words, window, vector size and epochs of train_embeddings, for comparison."""

from pathlib import Path

from groundup.embeddings.config import GENSIM_METHODS, EmbeddingsConfig, method_of
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
    *,
    train_embeddings: EmbeddingsConfig,
    compute: ComputeConfig,
) -> None:
    """Train on the corpus `name`: "chat", the conversations, or "mix", the conversations and both Bibles."""
    from groundup.embeddings.corpora import corpus_files, read_documents
    from groundup.embeddings.learning import train_with_gensim
    from groundup.embeddings.vocabulary import build_vocabulary

    chosen = method_of(method, name, GENSIM_METHODS)
    files = corpus_files(name, corpus, verses)
    documents = read_documents(*map(read_jsonl, files))
    vocabulary = build_vocabulary(documents, train_embeddings.min_count)
    learned = train_with_gensim(chosen, documents, vocabulary, train_embeddings, compute)
    learned.vectors.with_facts(corpus=name).save(out)
    figures = {
        "seconds": round(learned.seconds, 1),
        "vocabulary": len(vocabulary),
        "words": sum(map(len, documents)),
    }
    write_json(metrics, figures)
    run.log({"seconds": learned.seconds})
    run.pointer(out, "vectors")
