"""Stage contextual: the step from one vector a word to one vector a place, measured layer by layer."""

from dataclasses import asdict
from pathlib import Path

from groundup.embeddings.contextual import ContextualConfig, gather, measure
from groundup.embeddings.vectors import WordVectors
from groundup.embeddings.word_in_context import read_pairs
from groundup.files import atomic_path, write_json, write_text
from groundup.reports import contextual_page, contextual_plots
from groundup.reports import style as figures
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
    metrics: Path,
    pictures: Path,
    page: Path,
    *,
    contextual: ContextualConfig,
    compute: ComputeConfig,
) -> None:
    """Probe two sets of word vectors, the main decoder, and the study decoder and encoder."""
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
    with atomic_path(pictures) as folder:
        folder.mkdir()
        figures.save(contextual_plots.word_in_context(facts["rows"]), folder / "word_in_context.png")
        figures.save(contextual_plots.geometry(facts["rows"]), folder / "geometry.png")
    write_json(metrics, facts)
    examples = [asdict(pair) for pair in pairs[: contextual.shown_pairs]]
    write_text(page, contextual_page.page(facts, examples, pictures))
    for row in facts["rows"]:
        if row["layer"] is not None:
            name = f"{row['vectors']}/{row['read']}".replace("'", "")
            run.log({f"{name}/auc": row["cosine"]["auc"]["mean"]}, step=row["layer"])
    for path in (metrics, page):
        run.artifact(path)
    run.artifact(pictures, "plots")
    print("\n".join(contextual_page.conclusions(facts)))
