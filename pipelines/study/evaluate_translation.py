"""Stage evaluate_translation: the test verses by the model and by two baselines; scores, samples, alignments, page."""

from pathlib import Path

from groundup.files import atomic_path, read_json, write_json, write_text
from groundup.text.jsonl import read_splits, write_jsonl
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, EvaluateTranslationConfig
from groundup.training.curves import read_curve


def main(
    run: Run,
    verses: Path,
    model: Path,
    training: Path,
    curve: Path,
    translations: Path,
    plots: Path,
    page: Path,
    metrics: Path,
    *,
    evaluate_translation: EvaluateTranslationConfig,
    compute: ComputeConfig,
) -> None:
    """Translate, score, draw."""
    from groundup.checkpoint import load_checkpoint
    from groundup.evaluation import translation_results
    from groundup.evaluation.word_alignment import WordSubstitution, learn, words_of
    from groundup.reports.attention_plots import attention_map
    from groundup.reports.style import save
    from groundup.reports.translation_plots import model1_map, training_curve
    from groundup.tasks.translation import attention_of, translate
    from groundup.training.devices import pick_device

    config = evaluate_translation
    splits = read_splits(verses, ("train", "test"))
    test = splits["test"]
    sources = [row["source"] for row in test]
    table = learn(
        [(words_of(row["source"]), words_of(row["target"])) for row in splits["train"]],
        config.alignment_iterations,
    )
    checkpoint = load_checkpoint(model, pick_device(compute), kind="encoder_decoder")
    size = config.batch_size
    systems = {
        "copy": sources,
        "word_table": list(map(WordSubstitution(table), sources)),
        "model_greedy": translate(checkpoint, sources, beam_size=1, length_penalty=0.0, batch_size=size),
        "model": translate(
            checkpoint,
            sources,
            beam_size=config.beam_size,
            length_penalty=config.length_penalty,
            batch_size=size,
        ),
    }
    found = translation_results.scores(systems, [row["target"] for row in test], config.bootstrap_samples)
    written = [
        row | {name: texts[i] for name, texts in systems.items() if name != "copy"}
        for i, row in enumerate(test)
    ]
    samples, aligned = translation_results.draw(written, config)
    with atomic_path(plots) as folder:
        folder.mkdir()
        save(training_curve(read_curve(curve)), folder / "curve.png")
        for row in aligned:
            columns, rows, weights = attention_of(checkpoint, row["source"], row["model"])
            drawing = attention_map(weights.numpy(), rows, columns, "Cross-attention, last layer")
            save(drawing, folder / f"attention_{row['id']}.png")
            save(model1_map(table, row["source"], row["model"]), folder / f"model1_{row['id']}.png")
    write_json(metrics, found)
    write_jsonl(translations, written)
    write_text(page, translation_results.page(found, read_json(training), samples, aligned, plots))
    for name, entry in found["systems"].items():
        run.log({f"{name}/{metric}": one["score"] for metric, one in entry.items()})
    for path in (metrics, translations, page):
        run.artifact(path)
    for path in sorted(plots.glob("*.png")):
        run.artifact(path, "plots")
    print(translation_results.conclusion(found))
