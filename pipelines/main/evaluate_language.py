"""Measure the pretrained model itself: grammar by minimal pairs, and bits per byte of several kinds of text."""

from pathlib import Path

from groundup.evaluation.config import EvaluateConfig, EvaluateLanguageConfig
from groundup.evaluation.recording import record_language
from groundup.files import write_json
from groundup.tracking import Run
from groundup.training.config import ComputeConfig
from groundup.training.shards import decoded_texts, open_shard


def main(
    run: Run,
    model: Path,
    corpus: Path,
    spam: Path,
    instructions: Path,
    tokens: Path,
    metrics: Path,
    *,
    evaluate_language: EvaluateLanguageConfig,
    evaluate: EvaluateConfig,
    compute: ComputeConfig,
) -> None:
    """Write accuracy, chance and leakage of each phenomenon, and bits per byte of texts that nothing was trained on."""
    from groundup.checkpoint import load_checkpoint
    from groundup.evaluation.language_model import bits_of_texts, kinds_of_text
    from groundup.evaluation.metrics import Bootstrap
    from groundup.grammar.decisions import measure
    from groundup.grammar.minimal_pairs import minimal_pairs
    from groundup.training.devices import pick_device

    checkpoint = load_checkpoint(model, pick_device(compute), "decoder")
    decoder, tokenizer, config = checkpoint.model, checkpoint.tokenizer, evaluate_language
    pairs = minimal_pairs(config.pairs, config.seed)
    training = decoded_texts(tokens, "train", model / "tokenizer.json")
    bootstrap = Bootstrap(evaluate.bootstrap_samples, evaluate.confidence, evaluate.seed)
    found = {
        "grammar": measure(pairs, decoder, tokenizer, open_shard(tokens, "train"), config.ngram, training),
        "texts": {
            name: bits_of_texts(decoder, tokenizer, texts[: config.texts], bootstrap)
            for name, texts in kinds_of_text(corpus, spam, instructions).items()
            if texts
        },
    }
    write_json(metrics, found)
    run.artifact(metrics)
    record_language(run, found, model)
