"""Translate the test verses with the model and two baselines; write scores, samples and alignments."""

from pathlib import Path

from groundup.files import atomic_path, write_json
from groundup.text.jsonl import read_splits, write_jsonl
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, EvaluateTranslationConfig


def main(
    run: Run,
    verses: Path,
    model: Path,
    translations: Path,
    shown: Path,
    metrics: Path,
    *,
    evaluate_translation: EvaluateTranslationConfig,
    compute: ComputeConfig,
) -> None:
    """Translate and score the test verses, then measure the attention on some of those that the page shows."""
    from groundup.checkpoint import load_checkpoint
    from groundup.evaluation import translation_results, word_alignment
    from groundup.inspection.attention_maps import save_maps
    from groundup.tasks.translation import alignment_maps, translate_with_baselines
    from groundup.training.devices import pick_device

    config, splits = evaluate_translation, read_splits(verses, ("train", "test"))
    test = splits["test"]
    run.reads(verses / "test.jsonl", "verses-test", "test")
    table = word_alignment.learn_from(splits["train"], config.alignment_iterations)
    checkpoint = load_checkpoint(model, pick_device(compute), kind="encoder_decoder")
    systems = translate_with_baselines(checkpoint, table, [row["source"] for row in test], config)
    found = translation_results.scores(systems, [row["target"] for row in test], config.bootstrap_samples)
    written = translation_results.with_translations(test, systems)
    samples, aligned = translation_results.draw(written, config)
    with atomic_path(shown) as folder:
        folder.mkdir()
        write_jsonl(folder / "samples.jsonl", samples)
        save_maps(folder / "maps.npz", alignment_maps(checkpoint, table, aligned))
    write_json(metrics, found)
    write_jsonl(translations, written)
    for name, entry in found["systems"].items():
        run.log({f"{name}/{metric}": one["score"] for metric, one in entry.items()})
    for path in (metrics, translations):
        run.artifact(path)
