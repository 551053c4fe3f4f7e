import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import groundup
from groundup.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from groundup.errors import BadInput
from groundup.evaluation.language_model import log_likelihoods
from groundup.generation.decoding import generate
from groundup.generation.sampling import Sampling
from groundup.model import Model
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.int8 import to_int8_linear
from groundup.tasks.classification import spam_probabilities
from groundup.tasks.instructions import respond
from groundup.text.labels import label_of
from groundup.tokenizers.bpe import BPETokenizer
from tests.cli.chat_model import by_hand, chat_checkpoint
from tests.tiny import random_decoder, random_encoder_decoder

MORE: dict[str, Any] = {"max_new_tokens": 12, "temperature": 1.0, "top_p": 0.9, "seed": 3}


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    return BPETokenizer.train(["low low lower"], 259)


@pytest.fixture(scope="module")
def decoder(tokenizer: BPETokenizer, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("models") / "decoder"
    model = random_decoder(vocab_size=tokenizer.vocab_size, context_length=60)
    save_checkpoint(folder, model, tokenizer, prompt_style="alpaca_short")
    return groundup.load(folder, device="cpu")


@pytest.fixture(scope="module")
def classifier(tokenizer: BPETokenizer, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("models") / "classifier"
    model = SequenceClassifier(random_decoder("gpt2", vocab_size=tokenizer.vocab_size), 2, "mean")
    nn.init.normal_(model.score.weight)
    save_checkpoint(folder, model, tokenizer, labels=("ham", "spam"))
    return groundup.load(folder, device="cpu")


def logits_of(checkpoint: Checkpoint, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return checkpoint.model.logits(checkpoint.model(torch.tensor([ids])))[0]


def test_importing_groundup_imports_no_torch_until_load_is_used() -> None:
    code = "import sys, groundup; assert 'torch' not in sys.modules; groundup.load; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_continues_texts_as_generate_does(decoder: Model) -> None:
    prompts = ["lo", "lower low"]
    ids = decoder.checkpoint.tokenizer.encode_batch(prompts)
    sampling = Sampling(temperature=1.0, top_p=0.9, seed=3)
    new = generate(
        decoder.checkpoint.model,
        ids,
        max_new_tokens=12,
        sampling=sampling,
        stop_ids=decoder.checkpoint.stop_ids,
    )
    expected = [decoder.checkpoint.tokenizer.decode(row) for row in new]
    assert decoder.generate(prompts, **MORE) == expected
    assert decoder.generate("lo", **MORE) == expected[0]


def test_a_text_ends_before_the_first_stop_string(decoder: Model) -> None:
    whole = decoder.generate(["lo", "lower low"], **MORE)
    stop = whole[0][4:6]
    expected = [text.partition(stop)[0] for text in whole]
    assert expected[0] != whole[0]
    assert decoder.generate(["lo", "lower low"], stop=[stop], **MORE) == expected
    assert decoder.generate("lo", stop=stop, **MORE) == expected[0]
    assert "".join(decoder.stream("lo", stop=[stop], **MORE)) == expected[0]
    with pytest.raises(BadInput, match="stop has an empty text"):
        decoder.generate("lo", stop=["a", ""])


def test_streams_are_what_is_returned_at_once(decoder: Model) -> None:
    for seed in range(20):
        wanted = MORE | {"seed": seed, "max_new_tokens": 7}
        assert "".join(decoder.stream("lo", **wanted)) == decoder.generate("lo", **wanted)
    assert decoder.chat([{"role": "user", "content": "lo"}], max_new_tokens=0) == ""
    with pytest.raises(BadInput, match="max_new_tokens is -1"):
        decoder.generate("lo", max_new_tokens=-1)


def test_texts_of_a_long_list_take_turns(decoder: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = ["lo", "lower low", "w", "est", "low low"]
    at_once = decoder.generate(prompts, **MORE)
    monkeypatch.setattr("groundup.generation.decoding.RUNNING", 2)
    assert decoder.generate(prompts, **MORE) == at_once


def test_a_conversation_is_answered_after_the_text_of_the_template() -> None:
    checkpoint = chat_checkpoint()
    messages = [
        {"role": "user", "content": "tea"},
        {"role": "assistant", "content": "cake"},
        {"role": "user", "content": "and tea"},
    ]
    tokenizer = checkpoint.tokenizer
    assert isinstance(tokenizer, BPETokenizer)
    [ids] = tokenizer.encode_batch([by_hand(*(tuple(m.values()) for m in messages))], allow_special=True)  # type: ignore[misc]
    special = tokenizer.special_tokens.values()
    [new] = generate(checkpoint.model, [ids], max_new_tokens=8, sampling=Sampling(), stop_ids=[*special])
    assert new
    model = Model(checkpoint)
    assert model.chat(messages, max_new_tokens=8) == tokenizer.decode(new).strip()
    assert "".join(model.stream_chat(messages, max_new_tokens=8)).strip() == model.chat(
        messages, max_new_tokens=8
    )


def test_an_instruction_and_its_input_are_answered_as_in_evaluation(decoder: Model) -> None:
    asked = [{"role": "user", "content": "low\n\nlower"}]
    [expected] = respond(decoder.checkpoint, [("low", "lower")], max_new_tokens=8)
    assert decoder.chat(asked, max_new_tokens=8) == expected


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        ([], "expected a message of the user"),
        ([{"role": "assistant", "content": "low"}], "expected a message of the user"),
        (["low"], "has the message low; expected one such as"),
        ([{"role": "user", "content": None}], "with one of the roles system, user, assistant"),
        ([{"role": "poet", "content": "low"}], "with one of the roles system, user, assistant"),
        ([{"role": "system", "content": "a"}, {"role": "user", "content": "b"}], "cannot express"),
        ([{"role": "user", "content": "low " * 60}], "needs space for an answer"),
    ],
)
def test_refuses_what_is_no_conversation(decoder: Model, messages: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        decoder.chat(messages)


def test_log_likelihoods_are_those_of_evaluation(decoder: Model) -> None:
    pairs = [("low ", "lower"), ("", "l"), ("", "low lower " * 20)]
    expected = log_likelihoods(decoder.checkpoint.model, decoder.checkpoint.tokenizer, pairs)
    assert decoder.log_likelihood(*zip(*pairs, strict=True)) == expected
    assert decoder.log_likelihood("low ", "lower").total == pytest.approx(expected[0].total, rel=1e-5)
    assert decoder.bits_per_byte(pairs[2][1]) == pytest.approx(expected[2].bits_per_byte, rel=1e-5)
    with pytest.raises(BadInput, match="1 contexts and 2 continuations"):
        decoder.log_likelihood(["low"], ["er", "est"])


def test_what_the_model_writes_itself_is_greedy(decoder: Model) -> None:
    tokenizer = decoder.checkpoint.tokenizer
    logits = {
        text: logits_of(decoder.checkpoint, tokenizer.encode(text))[-1]
        for text in "abcdefghijklmnopqrstuvwxyz"
    }
    best = {text: row.argmax().item() for text, row in logits.items()}
    found = {text: decoder.log_likelihood(text, tokenizer.decode([best[text]]), top=3) for text in best}
    whole = [text for text in best if [token.token for token in found[text].tokens] == [best[text]]]
    assert whole  # a lone byte of a character, for example, is another token when it is encoded again
    assert all(found[text].is_greedy for text in whole)
    likeliest = logits[whole[0]].log_softmax(dim=-1).topk(3)
    assert [token for token, _ in found[whole[0]].tokens[0].top] == likeliest.indices.tolist()


def test_rounded_weights_generate_but_do_not_score(decoder: Model) -> None:
    rounded = Model(decoder.checkpoint, "int8")
    writer = to_int8_linear(deepcopy(decoder.checkpoint.model))
    ids = decoder.checkpoint.tokenizer.encode_batch(["lo", "lower low"])
    sampling = Sampling(temperature=1.0, top_p=0.9, seed=3)
    new = generate(writer, ids, max_new_tokens=12, sampling=sampling, stop_ids=decoder.checkpoint.stop_ids)
    texts = [decoder.checkpoint.tokenizer.decode(row) for row in new]
    assert rounded.generate(["lo", "lower low"], **MORE) == texts
    assert rounded.log_likelihood("low", "er") == decoder.log_likelihood("low", "er")
    assert rounded._writer.wte.weight is decoder.checkpoint.model.wte.weight
    assert Model(decoder.checkpoint)._writer is decoder.checkpoint.model  # small: nothing to gain


def test_classes_are_those_of_the_classifier(classifier: Model) -> None:
    texts = ["low", "lower low lower", "x" * 100]
    found = classifier.classify(texts)
    assert [row.label for row in found] == [label_of(row.probabilities["spam"]) for row in found]
    assert [row.probabilities["spam"] for row in found] == spam_probabilities(classifier.checkpoint, texts)
    assert classifier.classify("low").label == found[0].label


def test_a_vector_is_the_mean_of_the_hidden_states(decoder: Model, classifier: Model) -> None:
    found = decoder.embed(["low", "lower low lower"])
    tokenizer = decoder.checkpoint.tokenizer
    ids = torch.tensor([[*tokenizer.encode("low"), tokenizer.eot_id]])
    with torch.no_grad():
        expected = decoder.checkpoint.model(ids)[0].mean(dim=0)
    assert torch.allclose(found[0], expected, atol=1e-6)
    assert found.shape == (2, 16) and classifier.embed(["low"]).shape == (1, 16)


def test_a_method_of_another_kind_names_the_kind_that_it_expects(
    decoder: Model, classifier: Model, tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"is a classifier; expected a decoder \(language model\)"):
        classifier.generate("low")
    with pytest.raises(BadInput, match="expected an encoder-decoder"):
        decoder.translate("low")
    with pytest.raises(BadInput, match="expected a classifier"):
        decoder.classify("low")
    with pytest.raises(BadInput, match="device is abacus, which this machine lacks; expected auto or one of"):
        groundup.load(tmp_path, device="abacus")
    save_checkpoint(tmp_path / "t", random_encoder_decoder(vocab_size=tokenizer.vocab_size), tokenizer)
    translator = Model(load_checkpoint(tmp_path / "t"))
    assert isinstance(translator.translate("low", beam_size=1), str)
    with pytest.raises(BadInput, match="is an encoder-decoder"):
        translator.embed(["low"])
    assert repr(translator).startswith("<groundup model: an encoder-decoder (translation)")


def test_every_example_of_the_page_runs(
    tokenizer: BPETokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = Path(__file__).parents[1] / "docs/library.md"
    sizes = {"vocab_size": tokenizer.vocab_size, "context_length": 128}
    models = {
        "models/pretrained": random_decoder(**sizes),
        "models/instructions": random_decoder(**sizes),
        "models/spam": SequenceClassifier(random_decoder(**sizes), 2, "mean"),
        "study/models/translation": random_encoder_decoder(**sizes),
    }
    for name, model in models.items():
        labels = ("ham", "spam") if name.endswith("spam") else ()
        save_checkpoint(tmp_path / "data" / name, model, tokenizer, labels=labels)
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    found: dict[str, Any] = {}
    for example in examples:
        exec(example, found)
    assert len(examples) == 6 and len(found["texts"]) == 2 and found["best"].total < 0
    [said] = re.findall(r"# (the model is .*)", page.read_text(encoding="utf-8"))
    assert capsys.readouterr().out.endswith(f"{said}\n")
