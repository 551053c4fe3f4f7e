import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import groundup
from groundup.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from groundup.errors import BadInput
from groundup.evaluation.language_model import bits_per_byte, total_nats
from groundup.generation.decoding import generate
from groundup.generation.sampling import Sampling
from groundup.model import Model
from groundup.nn.classifier import SequenceClassifier
from groundup.tasks.classification import spam_probabilities
from groundup.tasks.instructions import respond
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
    assert "".join(decoder.stream("lo", stop=[stop], **MORE)) == expected[0]


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
    assert Model(checkpoint).chat(messages, max_new_tokens=8) == tokenizer.decode(new).strip()


def test_an_instruction_and_its_input_are_answered_as_in_evaluation(decoder: Model) -> None:
    asked = [{"role": "user", "content": "low\n\nlower"}]
    [expected] = respond(decoder.checkpoint, [("low", "lower")], max_new_tokens=8)
    assert decoder.chat(asked, max_new_tokens=8) == expected


@pytest.mark.parametrize("messages", [[], [{"role": "assistant", "content": "low"}]])
def test_refuses_a_conversation_that_does_not_end_with_the_user(
    decoder: Model, messages: list[dict[str, str]]
) -> None:
    with pytest.raises(BadInput, match="expected a message of the user"):
        decoder.chat(messages)


def test_the_log_likelihood_is_the_sum_over_the_tokens_of_the_continuation(decoder: Model) -> None:
    tokenizer = decoder.checkpoint.tokenizer
    context, continuation = "low ", "lower"
    given = tokenizer.encode("low")  # the space belongs to the continuation
    ids = tokenizer.encode("low lower")
    logprobs = logits_of(decoder.checkpoint, ids[:-1]).log_softmax(dim=-1)
    expected = [float(logprobs[i - 1, ids[i]]) for i in range(len(given), len(ids))]
    found = decoder.log_likelihood(context, continuation)
    assert [token.logprob for token in found.tokens] == pytest.approx(expected, rel=1e-5)
    assert found.total == pytest.approx(sum(expected), rel=1e-5)
    assert not found.is_greedy
    batch = decoder.log_likelihood([context, ""], [continuation, "l"])
    assert batch[0].total == pytest.approx(found.total, rel=1e-5)
    first = logits_of(decoder.checkpoint, [tokenizer.eot_id]).log_softmax(dim=-1)
    assert batch[1].total == pytest.approx(float(first[0, tokenizer.encode("l")[0]]), rel=1e-5)


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


def test_of_a_long_context_the_end_is_read(decoder: Model) -> None:
    context = "abcdefghij" * 9
    ids = decoder.checkpoint.tokenizer.encode(context + "l")
    logprobs = logits_of(decoder.checkpoint, ids[-61:-1])[-1].log_softmax(dim=-1)
    assert decoder.log_likelihood(context, "l").total == pytest.approx(float(logprobs[ids[-1]]), rel=1e-5)
    with pytest.raises(BadInput, match="90 tokens; expected 1 to 60"):
        decoder.log_likelihood("", context)


def test_bits_per_byte_of_a_text_that_is_longer_than_the_context(decoder: Model) -> None:
    text, tokenizer = "low lower " * 20, decoder.checkpoint.tokenizer
    ids = [*tokenizer.encode(text), tokenizer.eot_id]
    assert len(ids) > 120
    nats = total_nats(decoder.checkpoint.model, torch.tensor(ids).numpy(), tokenizer.eot_id)
    assert decoder.bits_per_byte(text) == pytest.approx(bits_per_byte(nats, len(text)), abs=1e-6)


def test_classes_are_those_of_the_classifier(classifier: Model) -> None:
    texts = ["low", "lower low lower", "x" * 100]
    found = classifier.classify(texts)
    assert [row.probabilities["spam"] for row in found] == spam_probabilities(classifier.checkpoint, texts)
    assert all(row.probabilities[row.label] >= 0.5 for row in found)
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
    save_checkpoint(tmp_path / "t", random_encoder_decoder(vocab_size=tokenizer.vocab_size), tokenizer)
    translator = Model(load_checkpoint(tmp_path / "t"))
    assert isinstance(translator.translate("low", beam_size=1), str)
    assert repr(translator).startswith("<groundup model: an encoder-decoder (translation)")
