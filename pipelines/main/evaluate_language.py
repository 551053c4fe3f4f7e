"""Measure the pretrained model itself: grammar by minimal pairs, and bits per byte of several kinds of text."""

from pathlib import Path

from groundup.evaluation.config import EvaluateConfig, EvaluateLanguageConfig
from groundup.files import write_json
from groundup.text.documents import text_of
from groundup.text.jsonl import read_splits
from groundup.tracking import Run
from groundup.training.config import ComputeConfig
from groundup.training.shards import decoded_texts, open_shard, read_documents


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
    from groundup.evaluation.language_model import bits_of_texts
    from groundup.evaluation.metrics import Bootstrap
    from groundup.evaluation.ngram_baselines import NgramScores
    from groundup.grammar import decisions as results
    from groundup.grammar.minimal_pairs import minimal_pairs
    from groundup.training.devices import pick_device

    checkpoint = load_checkpoint(model, pick_device(compute), "decoder")
    tokenizer = checkpoint.tokenizer
    pairs = minimal_pairs(evaluate_language.pairs, evaluate_language.seed)
    counted = NgramScores.fit(open_shard(tokens, "train"), tokenizer.vocab_size, evaluate_language.ngram)
    systems = {
        "model": results.of_decoder(checkpoint.model, tokenizer),
        "ngrams": results.of_ngrams(counted, tokenizer),
    }
    right = {name: results.decisions(pairs, measure) for name, measure in systems.items()}
    training = decoded_texts(tokens, "train", model / "tokenizer.json")
    leaked = results.occur_in([pair.good for pair in pairs], training)
    messages = read_splits(spam, ("test",))["test"]
    tasks = read_splits(instructions, ("test",))["test"]
    kinds = {
        "conversations": [text_of(some) for some in read_documents(corpus / "val.jsonl")],
        "text messages": [row["text"] for row in messages if row["label"] == "ham"],
        "spam": [row["text"] for row in messages if row["label"] == "spam"],
        "instructions": [f"{row['instruction']} {row['input']}".strip() for row in tasks],
    }
    bootstrap = Bootstrap(evaluate.bootstrap_samples, evaluate.confidence, evaluate.seed)
    found = {
        "grammar": results.table(pairs, right, leaked),
        "texts": {
            name: bits_of_texts(checkpoint.model, tokenizer, texts[: evaluate_language.texts], bootstrap)
            for name, texts in kinds.items()
            if texts
        },
    }
    write_json(metrics, found)
    run.artifact(metrics)
    figures = {
        f"grammar/{name}": entry["accuracy"]["model"] for name, entry in found["grammar"]["phenomena"].items()
    }
    bits = {f"bits_per_byte/{name}": entry["bits_per_byte"] for name, entry in found["texts"].items()}
    run.figures(
        model / "model.safetensors", {"grammar": found["grammar"]["accuracy"]["model"], **figures, **bits}
    )
