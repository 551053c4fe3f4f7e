"""Measure, layer by layer, how much a contextual vector of a word reflects its sentence."""

from dataclasses import asdict
from pathlib import Path

from groundup.embeddings.contextual import ContextualConfig, gather, headlines, measure
from groundup.embeddings.vectors import WordVectors
from groundup.embeddings.word_in_context import read_pairs
from groundup.files import write_json
from groundup.tracking import Run
from groundup.training.config import ComputeConfig
from groundup.training.shards import read_documents


def main(
    run: Run,
    word_in_context: Path,
    corpus: Path,
    word2vec: Path,
    glove: Path,
    pretrained: Path,
    causal: Path,
    masked: Path,
    shown: Path,
    metrics: Path,
    *,
    contextual: ContextualConfig,
    compute: ComputeConfig,
) -> None:
    """Measure two sets of word vectors, the main pipeline's decoder, and the study's decoder and encoder.

    The metrics are written to `metrics`, and the first pairs of sentences, for the page, to `shown`.
    """
    from groundup.checkpoint import load_checkpoint
    from groundup.training.devices import pick_device

    device = pick_device(compute)
    static = {"Word2Vec": WordVectors.load(word2vec), "GloVe": WordVectors.load(glove)}
    models = {
        "main decoder": load_checkpoint(pretrained, device, "decoder"),
        "study decoder": load_checkpoint(causal, device, "decoder"),
        "study encoder": load_checkpoint(masked, device, "encoder"),
    }
    pairs = read_pairs(word_in_context)
    messages = [message for document in read_documents(corpus / "val.jsonl") for message in document]
    material = gather(pairs, messages, models.values(), contextual)
    facts = measure(static, models, material, contextual)
    write_json(metrics, facts)
    write_json(shown, [asdict(pair) for pair in pairs[: contextual.shown_pairs]])
    for layer, aucs in headlines(facts).items():
        run.log(aucs, step=layer)
    run.artifact(metrics)
