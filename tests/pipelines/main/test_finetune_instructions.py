import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from groundup.checkpoint import load_checkpoint
from groundup.datasets.catalogue import DataConfig
from groundup.datasets.instructions import InstructionsConfig
from groundup.datasets.spam import SpamConfig
from groundup.errors import BadInput
from groundup.generation.prompts import Request
from groundup.interop.published import import_model
from groundup.tasks.instructions import encode_examples, respond
from groundup.text.jsonl import read_jsonl, write_jsonl
from groundup.tracking import Run, silent
from groundup.training.config import InstructionTrainingConfig
from pipelines.main import check_splits, download, prepare_instructions, validate
from pipelines.main.finetune_instructions import main
from tests.interop.published_models import random_llama, save_bert, save_published
from tests.pipelines.prepared import (
    INSTRUCTIONS,
    TALK,
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


def test_learns_the_task_and_keeps_the_style_with_the_model(data: Path, tmp_path: Path) -> None:
    config = replace(INSTRUCTIONS, training=training_config(max_steps=160, batch_size=6))
    finetune(data, tmp_path / "out", config=config)
    checkpoint = load_checkpoint(tmp_path / "out" / "model")
    assert checkpoint.prompt_style == "alpaca_short"
    answers = respond(checkpoint, [("Say the last word", text) for text in TALK], max_new_tokens=12)
    assert answers == [text.split()[-1] for text in TALK]


def test_the_curve_holds_the_loss_on_val_per_answer_token(data: Path, tmp_path: Path) -> None:
    finetune(data, tmp_path / "out")
    curve = pd.read_csv(tmp_path / "out" / "curve.csv", index_col="step")
    assert curve["val/loss"].dropna().index.tolist() == [3, 6]
    checkpoint = load_checkpoint(tmp_path / "out" / "model")
    rows = [
        {"id": "", "instruction": "Say the last word", "input": text, "output": text.split()[-1]}
        for text in TALK[: INSTRUCTIONS.eval_examples]
    ]
    nats = count = 0.0
    for ids, learned in encode_examples(checkpoint.prompter(), rows, 64):
        start = learned.index(True)
        ids = torch.tensor(ids)
        with torch.no_grad():
            log_p = checkpoint.model.logits(checkpoint.model(ids[None, :-1]))[0].log_softmax(dim=-1)
        nats -= float(log_p[start - 1 :].gather(1, ids[start:, None]).sum())
        count += len(ids) - start
    assert curve["val/loss"].iloc[-1] == pytest.approx(nats / count, rel=1e-4)


def test_interrupted_or_not_the_bytes_are_the_same(data: Path, tmp_path: Path) -> None:
    finetune(data, tmp_path / "once")
    finetune(data, tmp_path / "twice")
    assert content(tmp_path / "once") == content(tmp_path / "twice")
    with pytest.raises(Interrupted):
        finetune(data, tmp_path / "resumed", interrupted_run("train/loss", 5))
    assert not (tmp_path / "resumed").exists()
    finetune(data, tmp_path / "resumed")
    assert content(tmp_path / "resumed") == content(tmp_path / "once")
    assert not (data / "state" / "resumed").exists()


@pytest.mark.parametrize("split", ["test", "held_out"])
def test_a_prompt_too_long_to_be_evaluated_is_told_before_training(
    data: Path, tmp_path: Path, split: str
) -> None:
    row = {"id": "long", "family": "last", "instruction": "Say " * 99, "input": "", "output": "say"}
    write_jsonl(data / "instructions" / f"{split}.jsonl", [row])
    run = silent()
    run.log = lambda *_: pytest.fail("training began")  # type: ignore[method-assign]
    with pytest.raises(
        BadInput, match=r"prompt of instruction long has \d+ tokens; the model reads at most 64"
    ):
        finetune(data, tmp_path / "out", run)


def test_a_published_model_is_asked_with_its_chat_template_and_keeps_its_ends(
    data: Path, tmp_path: Path
) -> None:
    save_published(tmp_path / "hf", random_llama(eos_token_id=[2, 0]))
    shutil.rmtree(data / "pretrained")
    import_model(tmp_path / "hf", data / "pretrained")
    finetune(data, tmp_path / "out", config=replace(INSTRUCTIONS, prompt_style="chat_template"))
    checkpoint = load_checkpoint(tmp_path / "out" / "model")
    assert (checkpoint.prompt_style, checkpoint.stop_ids) == ("chat_template", (0, 2))
    [prompt] = checkpoint.prompter().prompts([("Say the last word", "tea, red")])
    expected = "<|im_start|>user\nSay the last word\n\ntea, red<|im_end|>\n<|im_start|>assistant\n"
    assert checkpoint.tokenizer.decode(prompt) == expected


def test_an_encoder_cannot_follow_instructions(data: Path, tmp_path: Path) -> None:
    save_bert(tmp_path / "hf")
    shutil.rmtree(data / "pretrained")
    import_model(tmp_path / "hf", data / "pretrained")
    with pytest.raises(BadInput, match="which reads texts but writes none; expected a decoder"):
        finetune(data, tmp_path / "out")


def test_an_unknown_prompt_style(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="prompt style 'haiku'"):
        finetune(data, tmp_path / "out", config=replace(INSTRUCTIONS, prompt_style="haiku"))
    assert not (tmp_path / "out").exists()


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
    for split in ("train", "val", "test"):
        write_jsonl(Path("corpus") / f"{split}.jsonl", [{"id": split, "messages": [f"see you {split}"]}])
        write_jsonl(Path("spam") / f"{split}.jsonl", [{**spam_row(f"at home {split}"), "group": split}])
    Path("corpus/report.json").write_text('{"cut_inside": false, "digits_count": false}')
    texts, prepared = (Path("corpus"), Path("spam")), data / "instructions"
    shutil.rmtree(prepared)

    download.main(silent(), "instructions", Path("own"), raw[2], Path("kept"), data=config)
    validate.main(silent(), *raw, Path("raw.json"), Path("raw.html"), Path("gate.json"), data=config)
    how = InstructionsConfig("deduplicated", 0.2, 0.2, (), 1, seed=1)
    prepare_instructions.main(silent(), raw[2], *texts, Path("gate.json"), prepared, instructions=how)
    found = (Path("splits.json"), Path("splits.html"), Path("contamination.json"))
    spam = SpamConfig("deduplicated", 0.1, 0.2, "none", 1, seed=1)
    check_splits.main(silent(), *texts, prepared, *found, spam=spam, instructions=how)
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
    """A message that is none."""
    return {"id": text, "label": "ham", "text": text}
