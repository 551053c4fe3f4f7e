"""Further properties of published models: padding of the token table, and the tokens that end an answer."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow.types.responses import ResponsesAgentRequest

from groundup.checkpoint import load_checkpoint, save_checkpoint
from groundup.cli.chat import Chat
from groundup.errors import BadInput
from groundup.evaluation.language_model import total_nats
from groundup.generation.choosing import probabilities
from groundup.generation.decoding import generate
from groundup.generation.sampling import Sampling
from groundup.interop.export_gguf import export_gguf
from groundup.interop.export_huggingface import export_huggingface
from groundup.interop.gguf_file import open_gguf
from groundup.interop.huggingface import load_model
from groundup.interop.published import import_model, load_published
from groundup.serving.model import ServedInstructions
from groundup.tasks.instructions import respond
from groundup.tasks.preferences import Preference, answer_log_probs, both_answers
from tests.interop.published_models import random_gpt2, random_llama, save_bert, save_published

BOLD = Sampling(temperature=1.0)


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """401 rows of embeddings for 318 tokens; the rows without a token have the highest logits."""
    folder, reference = (
        tmp_path_factory.mktemp("padded"),
        random_llama(vocab_size=401, tie_word_embeddings=False),
    )
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.normal_(std=0.3)
        reference.lm_head.weight[318:] *= 4
    save_published(folder, reference)
    return folder, reference


@torch.no_grad()
def test_rows_that_are_no_tokens_have_no_probability(padded: tuple[Path, Any]) -> None:
    folder, reference = padded
    found, idx = load_published(folder), torch.randint(318, (3, 20))
    assert found.tokenizer.vocab_size == found.model.config.vocab_size == 318
    theirs = reference(idx).logits
    assert (theirs.argmax(dim=-1) >= 318).any()
    expected = theirs[..., :318].softmax(dim=-1)
    ours = probabilities(found.model.logits(found.model(idx)).flatten(0, 1), BOLD)
    torch.testing.assert_close(ours, expected.flatten(0, 1), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_losses_are_those_of_the_tokens_alone(padded: tuple[Path, Any]) -> None:
    folder, reference = padded
    model, ids = load_published(folder).model, torch.randint(318, (30,))
    log_p = reference(ids[None]).logits[0, :, :318].log_softmax(dim=-1)
    nats = -log_p[:-1].gather(1, ids[1:, None]).sum()
    assert total_nats(model, ids[1:].numpy(), int(ids[0])) == pytest.approx(float(nats), rel=1e-5)
    prompt, answer = ids[:10].tolist(), ids[10:].tolist()
    said = answer_log_probs(model, both_answers([Preference(prompt, answer, answer[:3])]))
    assert said[0].tolist() == pytest.approx(
        [
            -float(-log_p[9:-1].gather(1, ids[10:, None]).sum()),
            float(log_p[9:12].gather(1, ids[10:13, None]).sum()),
        ],
        rel=1e-4,
    )


def test_only_tokens_are_drawn(padded: tuple[Path, Any], tmp_path: Path) -> None:
    import_model(padded[0], tmp_path / "out")
    checkpoint = load_checkpoint(tmp_path / "out")
    rows = generate(checkpoint.model, [[5]] * 20, max_new_tokens=20, sampling=BOLD, stop_ids=[])
    assert max(max(row) for row in rows) < 318
    assert len(respond(checkpoint, [("a", "")] * 5, max_new_tokens=20, sampling=BOLD)) == 5


def test_a_checkpoint_with_padding_loses_it_when_it_is_loaded(
    padded: tuple[Path, Any], tmp_path: Path
) -> None:
    found, model = load_published(padded[0]), load_model(padded[0])
    assert model.config.vocab_size == 401
    save_checkpoint(tmp_path / "old", model, found.tokenizer)
    again = load_checkpoint(tmp_path / "old")
    assert again.model.config.vocab_size == again.config.model.vocab_size == 318
    assert torch.equal(again.model.lm_head.weight, found.model.lm_head.weight)


def test_an_encoder_loses_its_padding_too(tmp_path: Path) -> None:
    save_bert(tmp_path)
    whole = load_model(tmp_path)
    path = tmp_path / "tokenizer.json"
    document = json.loads(path.read_text())
    n = len(document["model"]["vocab"]) - 3
    document["model"]["vocab"] = {token: i for token, i in document["model"]["vocab"].items() if i < n}
    path.write_text(json.dumps(document))
    found = load_published(tmp_path).model
    assert torch.equal(found.wte.weight, whole.wte.weight[:n])
    assert torch.equal(found.lm_head.bias, whole.lm_head.bias[:n])


def ends_of(folder: Path, tokenizer: Any = None, **files: Any) -> tuple[int, ...]:
    """The stop ids of a checkpoint made of the folder with these eos_token_id in its files."""
    for name, value in files.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": value}))
    if tokenizer is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    found = load_published(folder)
    return tuple(sorted({found.tokenizer.eot_id, *found.stop_ids}))


def test_every_end_that_the_configs_name(tmp_path: Path) -> None:
    save_published(tmp_path, random_llama())  # <|endoftext|> 0, <|im_start|> 1, <|im_end|> 2, its eos_token
    assert ends_of(tmp_path, config=[2, 0], generation_config=None) == (0, 2)
    assert ends_of(tmp_path, config=2, generation_config=[0, 2]) == (0, 2)
    assert ends_of(tmp_path, config=[1, 2], generation_config=0) == (0, 1, 2)
    assert ends_of(tmp_path, config=None, generation_config=None) == (2,)
    assert ends_of(tmp_path, config=0, generation_config=[2, 9999, -1]) == (0, 2)
    # an ordinary token ends an answer if it does so in transformers
    assert ends_of(tmp_path, config=40, generation_config=None) == (2, 40)
    assert ends_of(tmp_path, config=40, generation_config=[0]) == (0, 2)
    # without eos_token: the first of a list ends a text
    assert ends_of(tmp_path, {}, config=[0, 2], generation_config=None) == (0, 2)
    assert load_published(tmp_path).tokenizer.end == "<|endoftext|>"
    assert ends_of(tmp_path, {}, config=None, generation_config=[2, 0]) == (0, 2)
    for wrong in ("2", [True], [0, None], {"a": 1}):
        with pytest.raises(
            BadInput, match=r"config.json has eos_token_id .*; expected an id or a list of ids"
        ):
            ends_of(tmp_path, config=wrong)


def test_answers_stop_where_those_of_transformers_do(tmp_path: Path) -> None:
    reference, asked = random_llama(), [("Say", "tea"), ("Repeat", "")]
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.normal_(std=0.5)
        reference.model.embed_tokens.weight[318:] = 0
    save_published(tmp_path / "in", reference)
    import_model(tmp_path / "in", tmp_path / "free")
    free = load_checkpoint(tmp_path / "free")
    prompts = free.prompter().prompts(asked)
    whole = generate(free.model, prompts, max_new_tokens=40, sampling=Sampling(), stop_ids=[])
    ends = [whole[0][7], whole[1][3], 2]  # ends that come in the middle
    ends_of(tmp_path / "in", config=ends, generation_config=ends)
    import_model(tmp_path / "in", tmp_path / "out")
    checkpoint = load_checkpoint(tmp_path / "out")
    assert set(checkpoint.stop_ids) == set(ends)
    expected = []
    for prompt in prompts:
        given = reference.generate(
            torch.tensor([prompt]), max_new_tokens=40, do_sample=False, eos_token_id=ends, pad_token_id=0
        )[0]
        new = given[len(prompt) :].tolist()
        assert new[-1] in ends and len(new) <= 8
        expected.append(free.tokenizer.decode(new[:-1]).strip())
    assert respond(checkpoint, asked, max_new_tokens=40) == expected
    served = ServedInstructions()
    served.checkpoint = checkpoint
    for text, answer in zip(["Say\n\ntea", "Repeat"], expected, strict=True):
        request = {"input": [{"role": "user", "content": text}], "max_output_tokens": 40}
        [item] = served.predict(ResponsesAgentRequest(**request)).output
        assert item.content[0]["text"].strip() == answer
    chat = Chat(checkpoint, Sampling(), 40)
    assert chat.conversation is not None and set(ends) <= set(chat.conversation.stop_ids)
    assert "".join(chat.instructed("Say", "tea")).strip() == expected[0]


def test_ends_go_out_again(tmp_path: Path) -> None:
    save_published(tmp_path / "in", random_llama())
    ends_of(tmp_path / "in", generation_config=[2, 0])
    import_model(tmp_path / "in", tmp_path / "ours")
    export_huggingface(load_checkpoint(tmp_path / "ours"), tmp_path / "out")
    for name in ("config.json", "generation_config.json"):
        assert json.loads((tmp_path / "out" / name).read_text())["eos_token_id"] == [2, 0]
    assert load_published(tmp_path / "out").stop_ids == (0,)
    export_gguf(load_checkpoint(tmp_path / "ours"), tmp_path / "out.gguf")
    assert open_gguf(tmp_path / "out.gguf").fields["tokenizer.ggml.eot_token_id"] == 0
    assert load_published(tmp_path / "out.gguf").stop_ids == (0,)


@pytest.mark.parametrize("make", [random_llama, random_gpt2])
def test_a_foreign_field_is_one_sentence(make: Any, tmp_path: Path) -> None:
    save_published(tmp_path, make())
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for name in set(config) - {"architectures", "dtype", "transformers_version", "use_cache"}:
        for value in ("x", [], {}, -1, 1.5, 10**30):
            path.write_text(json.dumps({**config, name: value}))
            with suppress(BadInput):  # not every field is read
                load_published(tmp_path)
    path.write_text(json.dumps(config))
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        whole = (tmp_path / name).read_bytes()
        for content in (b"", whole[: len(whole) // 2], b"[" * 100_000):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(BadInput, match=f"{name} is not JSON"):
                load_published(tmp_path)
        (tmp_path / name).write_bytes(whole)
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="is incomplete, or has an unsupported layout"):
        load_published(tmp_path)


def test_a_table_with_too_few_rows_is_another_models(tmp_path: Path) -> None:
    save_published(tmp_path, random_llama(vocab_size=317))
    with pytest.raises(BadInput, match="318 tokens and 317 rows of embeddings"):
        load_published(tmp_path)


def test_old_folders_without_tokenizer_json(tmp_path: Path) -> None:
    """GPT-2 with vocab.json and merges.txt, BERT with vocab.txt, and no tokenizer_config.json."""
    save_published(tmp_path / "gpt2", random_gpt2(), None)
    model = json.loads((tmp_path / "gpt2" / "tokenizer.json").read_text())["model"]
    expected = load_published(tmp_path / "gpt2").tokenizer.encode("low newer")
    merges = "\n".join(["#version: 0.2", *map(" ".join, model["merges"]), ""])
    (tmp_path / "gpt2" / "merges.txt").write_text(merges, encoding="utf-8")
    (tmp_path / "gpt2" / "vocab.json").write_text(json.dumps(model["vocab"]))
    save_bert(tmp_path / "bert")
    tokens = json.loads((tmp_path / "bert" / "tokenizer.json").read_text())["model"]["vocab"]
    pieces = load_published(tmp_path / "bert").tokenizer.pieces("unable BAN")
    (tmp_path / "bert" / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    for folder in ("gpt2", "bert"):
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (tmp_path / folder / name).unlink()
    gpt2, bert = (import_model(tmp_path / name, tmp_path / f"{name}.out") for name in ("gpt2", "bert"))
    assert gpt2.tokenizer.encode("low newer") == expected and gpt2.chat_template is None
    assert bert.tokenizer.pieces("unable BAN") == pieces
