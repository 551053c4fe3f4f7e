import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from groundup.checkpoint import load_checkpoint
from groundup.datasets.catalogue import DataConfig
from groundup.datasets.instructions import DeduplicatedInstructionsConfig
from groundup.datasets.spam import DeduplicatedSpamConfig
from groundup.generation.prompts import Request
from groundup.parallel.cluster import HERE
from groundup.tasks.instructions import respond
from groundup.text.jsonl import read_jsonl, write_jsonl
from groundup.tracking import Run, silent
from groundup.training.config import InstructionTrainingConfig
from pipelines.main import check_splits, download, prepare_instructions, validate
from pipelines.main.finetune_instructions import main
from tests.pipelines.prepared import (
    INSTRUCTIONS,
    Interrupted,
    content,
    interrupted_run,
    make_instructions,
    make_pretrained,
)
from tests.tiny import CPU, training_config


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_pretrained(tmp_path / "data" / "pretrained")
    make_instructions(tmp_path / "data" / "instructions")
    return tmp_path / "data"


def finetune(
    data: Path, out: Path, run: Run | None = None, config: InstructionTrainingConfig = INSTRUCTIONS
) -> None:
    main(
        run or silent(),
        data / "pretrained",
        data / "instructions",
        out / "model",
        out / "curve.csv",
        data / "state" / out.name,
        finetune_instructions=config,
        compute=CPU,
    )


def test_an_interruption_does_not_change_the_bytes(data: Path, tmp_path: Path) -> None:
    finetune(data, tmp_path / "once")
    finetune(data, tmp_path / "twice")
    assert content(tmp_path / "once") == content(tmp_path / "twice")
    with pytest.raises(Interrupted):
        finetune(data, tmp_path / "resumed", interrupted_run("train/loss", 5))
    assert not (tmp_path / "resumed").exists()
    finetune(data, tmp_path / "resumed")
    assert content(tmp_path / "resumed") == content(tmp_path / "once")
    assert not (data / "state" / "resumed").exists()


def test_conversations_of_a_users_file_from_download_to_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = [
        f"{one} {two}" for one in ("tea", "fine", "hello", "good") for two in ("you", "there", "like", "hear")
    ]
    talks = [
        [("user", text), ("assistant", "ok"), ("user", "again"), ("assistant", "fine")] for text in asked
    ]
    messages = [[{"role": role, "content": text} for role, text in talk] for talk in talks]
    write_jsonl(Path("own/mine.jsonl"), [{"messages": talk} for talk in messages])
    roles = ("pretraining", "spam", "instructions")
    place = "{url: 'file:own/mine.jsonl', reader: jsonl}"
    entries = (
        f"{role}: {{role: {role}, title: t, licence: l, citation: c, locations: [{place}]}}\n"
        for role in roles
    )
    Path("catalogue.yaml").write_text("".join(entries))
    config = DataConfig(Path("catalogue.yaml"), *roles)
    raw = [Path(f"raw/{role}.jsonl") for role in roles]
    for file, rows in ((raw[0], [{"id": "c", "messages": ["see you"]}]), (raw[1], [spam_row("at home")])):
        write_jsonl(file, rows)
    for split in ("train", "val", "test", "gate"):
        write_jsonl(Path("corpus") / f"{split}.jsonl", [{"id": split, "messages": [f"see you {split}"]}])
        write_jsonl(Path("spam") / f"{split}.jsonl", [{**spam_row(f"at home {split}"), "group": split}])
    Path("corpus/report.json").write_text('{"cut_inside": false, "digits_count": false}')
    texts, prepared = (Path("corpus"), Path("spam")), data / "instructions"
    shutil.rmtree(prepared)

    download.main(silent(), "instructions", Path("own"), raw[2], Path("kept"), data=config)
    validate.main(silent(), *raw, Path("raw.json"), Path("gate.json"), data=config)
    how = DeduplicatedInstructionsConfig("deduplicated", 0.2, 0.2, 0, (), 1, seed=1)
    prepare_instructions.main(
        silent(), raw[2], *texts, Path("gate.json"), prepared, instructions=how, cluster=HERE
    )
    found = (Path("splits.json"), Path("contamination.json"))
    spam = DeduplicatedSpamConfig("deduplicated", 0.1, 0.2, 0.1, "none", None, 1, seed=1)
    check_splits.main(silent(), *texts, prepared, *found, spam=spam, instructions=how, cluster=HERE)
    training = training_config(max_steps=60, batch_size=8)
    finetune(data, tmp_path / "out", config=replace(INSTRUCTIONS, training=training))

    rows = read_jsonl(prepared / "test.jsonl")
    assert [(row["instruction"], len(row["history"])) for row in rows] == [("again", 2)] * 3
    checkpoint = load_checkpoint(tmp_path / "out" / "model")
    assert respond(checkpoint, [Request.of(row) for row in rows], max_new_tokens=8) == ["fine"] * 3
    # the answers on the way are learned too
    assert (
        respond(checkpoint, [(row["history"][0]["content"], "") for row in rows], max_new_tokens=8)
        == ["ok"] * 3
    )


def spam_row(text: str) -> dict[str, str]:
    """Return a labelled message."""
    return {"id": text, "label": "ham", "text": text}
