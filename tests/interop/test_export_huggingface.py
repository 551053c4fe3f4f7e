import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundup.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from groundup.errors import BadInput
from groundup.generation.chat_template import ChatTemplate
from groundup.generation.prompts import format_prompt, format_response
from groundup.interop.export_huggingface import PADDING, chat_template_of, export_huggingface
from groundup.interop.huggingface import load_model
from groundup.interop.model_card import CardFacts
from groundup.interop.published import load_published
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.config import LoRAConfig, RopeScaling
from groundup.nn.lora import add_adapters
from groundup.tasks.classification import encode_texts, spam_probabilities
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.normalization import Normalization
from groundup.tokenizers.wordpiece import WordPieceConfig, WordPieceTokenizer, WordRules
from tests.tiny import random_decoder, random_encoder, random_encoder_decoder, randomised

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SCALINGS = {
    "plain": None,
    "linear": RopeScaling("linear", 2.0),
    "llama3": RopeScaling("llama3", 4.0, original_context=16),
    "yarn": RopeScaling("yarn", 4.0, original_context=16, attention_factor=1.2),
}
SIZES: dict[str, Any] = {"context_length": 32, "n_embd": 32}
LLAMA = {"preset": "llama", "n_kv_head": 2, **SIZES}
MODELS = {
    "gpt2": lambda n: random_decoder("gpt2", vocab_size=n, **SIZES),
    **{
        f"llama {name}": lambda n, s=scaling: random_decoder(vocab_size=n, rope_scaling=s, **LLAMA)
        for name, scaling in SCALINGS.items()
    },
    "llama untied": lambda n: random_decoder(vocab_size=n, tie_embeddings=False, rope_base=500.0, **LLAMA),
    "bert": lambda n: random_encoder("bert", vocab_size=n, **SIZES),
    "modern": lambda n: random_decoder(vocab_size=n, **SIZES),
    "transformer": lambda n: random_decoder("transformer", vocab_size=n, **SIZES),
}
CLASSES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "bert": "BertForMaskedLM",
    **dict.fromkeys(["modern", "transformer"], "GroundupForCausalLM"),
}
MESSAGES = ["tea and cake", "", "Win £1000 now!!! <|endoftext|> call 0800", "cake\n\n  and 😀" * 9]


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    return BPETokenizer.train(
        ["tea and cake and tea, 12 cakes", "the cat's mat\n  and the hat, 1984"] * 2, 290
    )


def saved(folder: Path, model: Any, tokenizer: BPETokenizer, **facts: Any) -> Checkpoint:
    save_checkpoint(folder, model, tokenizer, **facts)
    return load_checkpoint(folder)


def classifier(trunk: Any, pooling: Any = "last") -> SequenceClassifier:
    return randomised(SequenceClassifier(trunk, 2, pooling), seed=1)


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_transformers_computes_the_same(name: str, tokenizer: BPETokenizer, tmp_path: Path) -> None:
    import transformers

    import groundup.interop.transformers  # noqa: F401 - registers our own class

    checkpoint = saved(tmp_path / "ours", MODELS[name](tokenizer.vocab_size), tokenizer)
    export_huggingface(checkpoint, tmp_path / "out")
    auto = transformers.AutoModelForMaskedLM if name == "bert" else transformers.AutoModelForCausalLM
    theirs, report = auto.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert type(theirs).__name__ == CLASSES[name.split()[0]]
    unused = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"} if name == "bert" else set()
    assert not report["missing_keys"] and set(report["unexpected_keys"]) <= unused
    idx = torch.randint(tokenizer.vocab_size, (3, 32))
    ours = checkpoint.model.logits(checkpoint.model(idx))
    torch.testing.assert_close(ours, theirs.eval()(idx).logits, atol=1e-4, rtol=1e-4)
    if name != "bert":
        ids = tokenizer.encode("tea and")
        text = theirs.generate(torch.tensor([ids]), max_new_tokens=8)[0].tolist()
        expected = list(ids)
        while len(expected) < len(text):
            row = checkpoint.model.logits(checkpoint.model(torch.tensor([expected])))[0, -1]
            expected.append(int(row.argmax()))
        assert text == expected


@pytest.mark.parametrize("name", MODELS)
def test_it_comes_back_bit_for_bit(name: str, tokenizer: BPETokenizer, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "ours", MODELS[name](tokenizer.vocab_size), tokenizer)
    export_huggingface(checkpoint, tmp_path / "out")
    back, state = load_model(tmp_path / "out"), checkpoint.model.state_dict()
    assert back.config == replace(checkpoint.config.model, n_inner=back.config.n_inner)
    assert back.config.hidden == checkpoint.config.model.hidden
    assert back.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in back.state_dict().items())
    if name != "bert":  # no mask token here
        assert load_published(tmp_path / "out").tokenizer.fingerprint == tokenizer.fingerprint


@torch.no_grad()
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda n: classifier(random_decoder("gpt2", vocab_size=n, **SIZES)), id="gpt2"),
        pytest.param(lambda n: classifier(random_decoder(vocab_size=n, **LLAMA)), id="llama"),
        pytest.param(
            lambda n: classifier(random_decoder("gpt2", vocab_size=n, **SIZES), "mean"),
            id="gpt2 in our own class",
        ),
        pytest.param(lambda n: classifier(random_encoder("bert", vocab_size=n, **SIZES), "first"), id="bert"),
    ],
)
def test_classifiers_give_equal_scores(make: Any, tokenizer: BPETokenizer, tmp_path: Path) -> None:
    import transformers

    import groundup.interop.transformers  # noqa: F401 - registers our own class

    checkpoint = saved(tmp_path / "ours", make(tokenizer.vocab_size), tokenizer, labels=("ham", "spam"))
    export_huggingface(checkpoint, tmp_path / "out")
    theirs, report = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    read = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    batch = read(MESSAGES, truncation=True, padding=True, return_tensors="pt", return_token_type_ids=False)
    ids = encode_texts(tokenizer, MESSAGES, context_length=32)
    lengths = torch.tensor([len(row) for row in ids])
    assert [row[:n] for row, n in zip(batch["input_ids"].tolist(), lengths, strict=True)] == ids
    # neither reads padded positions, whatever they contain
    ours = checkpoint.model(batch["input_ids"].clamp(max=tokenizer.vocab_size - 1), lengths)
    torch.testing.assert_close(ours, theirs.eval()(**batch).logits, atol=1e-4, rtol=1e-4)
    assert theirs.config.id2label == {0: "ham", 1: "spam"}


@torch.no_grad()
def test_a_head_trained_from_zero_has_two_opposite_rows(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    """Cross-entropy moves both rows by opposite amounts, so the weights have rank 1."""
    import transformers

    model = classifier(random_decoder("gpt2", vocab_size=tokenizer.vocab_size, **SIZES))
    model.score.weight[1], model.score.bias[1] = -model.score.weight[0] * (1 + 1e-7), -model.score.bias[0]
    checkpoint = saved(tmp_path / "ours", model, tokenizer, labels=("ham", "spam"))
    export_huggingface(checkpoint, tmp_path / "out")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    idx = torch.randint(tokenizer.vocab_size, (2, 8))
    ours = checkpoint.model(idx, torch.tensor([8, 8]))
    torch.testing.assert_close(ours, theirs(idx).logits, atol=1e-4, rtol=1e-4)
    model.score.weight.zero_()
    with pytest.raises(BadInput, match="bias cannot be moved into its last norm"):
        export_huggingface(replace(checkpoint, model=model), tmp_path / "other")


def test_a_vocabulary_with_other_special_tokens_lends_one_as_padding(tmp_path: Path) -> None:
    end = "<|endoftext|>"
    plain = BPETokenizer.train(MESSAGES * 2, 280)
    chat = BPETokenizer.train(MESSAGES * 2, 281, special_tokens=[end, "<|im_start|>"])
    for name, tokenizer, padding in (("plain", plain, PADDING), ("chat", chat, "<|im_start|>")):
        model = classifier(random_decoder("gpt2", vocab_size=tokenizer.vocab_size, **SIZES))
        checkpoint = saved(tmp_path / name, model, tokenizer, labels=("ham", "spam"))
        export_huggingface(checkpoint, tmp_path / f"{name} out")
        config = json.loads((tmp_path / f"{name} out" / "config.json").read_text())
        assert config["vocab_size"] == tokenizer.vocab_size + (padding == PADDING)
        assert config["pad_token_id"] == tokenizer.special_tokens.get(padding, tokenizer.vocab_size)


@given(text=st.text(st.sampled_from(" \n\t019٣Ⅷaéztka',.!😀<|") | st.characters(exclude_categories=["Cs"])))
def test_ids_are_equal(read: Any, tokenizer: BPETokenizer, text: str) -> None:
    expected = tokenizer.encode(text, allow_special=True)
    assert read(text).input_ids == expected
    assert read.decode(expected) == text


@pytest.fixture(scope="module")
def read(tokenizer: BPETokenizer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    model = random_decoder("gpt2", vocab_size=tokenizer.vocab_size)
    export_huggingface(saved(folder / "ours", model, tokenizer), folder / "out")
    return AutoTokenizer.from_pretrained(folder / "out")


def test_special_tokens_and_what_a_generation_needs(read: Any, tokenizer: BPETokenizer) -> None:
    assert read("a<|endoftext|>b").input_ids == [97, tokenizer.eot_id, 98]
    assert (read.eos_token_id, read.model_max_length, len(read)) == (
        tokenizer.eot_id,
        12,
        tokenizer.vocab_size,
    )


@pytest.mark.parametrize("style", ["alpaca", "alpaca_short"])
def test_the_template_of_our_own_styles(style: str, tokenizer: BPETokenizer, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    model = random_decoder("gpt2", vocab_size=tokenizer.vocab_size)
    checkpoint = saved(tmp_path / "ours", model, tokenizer, prompt_style=style)
    export_huggingface(checkpoint, tmp_path / "out")
    read = AutoTokenizer.from_pretrained(tmp_path / "out")
    for instruction, text in (("Repeat.", ""), ('Say it\'s "so".', "tea\n{{ cake }}")):
        prompt = format_prompt(style, instruction, text)
        section = format_prompt(style, instruction, "\0").partition("\n### Input:")
        header = "".join(section[1:]).partition("\0")[0]
        between = "\n" if style == "alpaca" else ""
        content = instruction + (f"{between}{header}{text}" if text else "")
        asked = [{"role": "user", "content": content}]
        kwargs = {"add_generation_prompt": True, "return_dict": False}
        assert read.apply_chat_template(asked, tokenize=False, **kwargs) == prompt
        assert (
            read.apply_chat_template(asked, **kwargs)
            == checkpoint.prompter().prompts([(instruction, text)])[0]
        )
        answered = [*asked, {"role": "assistant", "content": "tea"}]
        whole = read.apply_chat_template(answered, tokenize=False)
        assert whole == prompt + format_response(style, "tea") + tokenizer.end
        template = chat_template_of(checkpoint)
        assert template is not None and template.turns(answered) == [
            (prompt, False),
            (format_response(style, "tea") + tokenizer.end, True),
        ]
    with pytest.raises(Exception, match="not of system"):
        read.apply_chat_template([{"role": "system", "content": "Be kind."}])


def test_the_models_own_template(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    end = "<|endoftext|>"
    tokenizer = BPETokenizer.train(MESSAGES * 2, 281, special_tokens=[end, "<|im_start|>"])
    template = ChatTemplate(CHATML, "<|im_start|>", end)
    model = random_decoder(vocab_size=tokenizer.vocab_size, preset="llama")
    facts = {"prompt_style": "chat_template", "chat_template": template}
    checkpoint = saved(tmp_path / "ours", model, tokenizer, **facts)
    export_huggingface(checkpoint, tmp_path / "out")
    read = AutoTokenizer.from_pretrained(tmp_path / "out")
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "tea?"}]
    ids = read.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert ids == checkpoint.prompter().conversation(messages)
    back = load_published(tmp_path / "out")
    assert back.chat_template == template
    assert back.tokenizer.fingerprint == tokenizer.fingerprint


@torch.no_grad()
@pytest.mark.parametrize("split", ["bert", "whitespace"])
@pytest.mark.parametrize("begins", [False, True])
def test_encoders_with_wordpiece(begins: bool, split: Any, tmp_path: Path) -> None:
    import transformers

    normalization = Normalization(clean=True, space_cjk=True, strip_accents=begins, lowercase=not begins)
    rules = WordRules(normalization, split, max_word_chars=12)
    trained = WordPieceTokenizer.train(MESSAGES * 2, WordPieceConfig("wordpiece", 90, rules, 40, 2))
    tokenizer = WordPieceTokenizer(trained.tokens, rules, begins=begins)
    trunk = random_encoder("bert", vocab_size=tokenizer.vocab_size, **SIZES)
    checkpoint = saved(tmp_path / "ours", trunk, tokenizer)
    export_huggingface(checkpoint, tmp_path / "out")
    read = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    texts = [*MESSAGES[:3], "tea \u4e2d cÀké, unbelievable\x00 Tea-and", "now" * 9]
    batch = read(texts, truncation=True, padding=True, return_tensors="pt")
    ids = encode_texts(tokenizer, texts, context_length=32)
    lengths = torch.tensor([len(row) for row in ids])
    assert [row[:n] for row, n in zip(batch["input_ids"].tolist(), lengths, strict=True)] == ids
    assert (read.pad_token_id, read.mask_token_id) == (tokenizer.pad_id, tokenizer.mask_id)
    theirs, report = transformers.AutoModelForMaskedLM.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not report["missing_keys"]
    ours = checkpoint.model.logits(checkpoint.model(batch["input_ids"], lengths=lengths))
    for mine, other, n in zip(ours, theirs.eval()(**batch).logits, lengths, strict=True):
        torch.testing.assert_close(mine[:n], other[:n], atol=1e-4, rtol=1e-4)
    assert load_published(tmp_path / "out").tokenizer.fingerprint == tokenizer.fingerprint
    judge = saved(tmp_path / "judge", classifier(trunk, "first"), tokenizer, labels=("ham", "spam"))
    export_huggingface(judge, tmp_path / "judge out")
    judges = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "judge out").eval()
    read = transformers.AutoTokenizer.from_pretrained(tmp_path / "judge out")
    texts = [*texts, "tea [MASK][SEP] cake"]  # a special token that a message spells out is ordinary text
    batch = read(texts, truncation=True, padding=True, return_tensors="pt")
    probabilities = judges(**batch).logits.softmax(dim=-1)[:, 1].tolist()
    assert spam_probabilities(judge, texts) == pytest.approx(probabilities, abs=1e-5)


def test_a_decoder_with_wordpiece_is_refused(tmp_path: Path) -> None:
    rules = WordRules(Normalization(True, True, True, True), "bert", max_word_chars=12)
    tokenizer = WordPieceTokenizer.train(MESSAGES * 2, WordPieceConfig("wordpiece", 90, rules, 40, 2))
    checkpoint = saved(tmp_path / "ours", random_decoder("gpt2", vocab_size=tokenizer.vocab_size), tokenizer)
    with pytest.raises(BadInput, match=r"a decoder \(language model\) with a WordPieceTokenizer"):
        export_huggingface(checkpoint, tmp_path / "out")


@torch.no_grad()
@pytest.mark.parametrize("classifies", [False, True])
def test_the_token_before_each_text_goes_out_too(classifies: bool, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    special = ["<|endoftext|>", "<|begin|>"]
    ranks = BPETokenizer.train(MESSAGES * 2, 281, special_tokens=special).ranks
    tokenizer = BPETokenizer(ranks, "gpt2", special, begin="<|begin|>")
    model: Any = random_decoder(vocab_size=tokenizer.vocab_size, preset="llama", **SIZES)
    facts = {"labels": ("ham", "spam")} if classifies else {}
    checkpoint = saved(tmp_path / "ours", classifier(model) if classifies else model, tokenizer, **facts)
    assert checkpoint.tokenizer.prefix_ids == tokenizer.prefix_ids
    export_huggingface(checkpoint, tmp_path / "out")
    read = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (read.bos_token, read.eos_token) == ("<|begin|>", "<|endoftext|>")
    found = read(MESSAGES, truncation=True).input_ids
    if classifies:
        assert found == encode_texts(tokenizer, MESSAGES, context_length=32)
    else:
        whole = [
            [*tokenizer.prefix_ids, *tokenizer.encode(text, allow_special=True)][:32] for text in MESSAGES
        ]
        assert found == whole
        assert load_published(tmp_path / "out").tokenizer.fingerprint == tokenizer.fingerprint


def test_the_model_card(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    import yaml

    model = random_decoder("gpt2", vocab_size=tokenizer.vocab_size)
    data, params = {"corpus/train": "a" * 64, "test": "b" * 64}, {"pretrain": {"seed": 1}}
    checkpoint = saved(tmp_path / "ours", model, tokenizer, data=data, params=params)
    f1 = {"mean": 0.97123, "low": 0.95, "high": 0.99}
    metrics = {"test": {"f1": f1, "texts": 50}, "items": 300, "baselines": {"majority": {"f1": f1}}}
    facts = CardFacts("apache-2.0", 'someone/base: "one"', "c55695a", metrics, "spam.json, sha256 ab")
    export_huggingface(checkpoint, tmp_path / "small", facts)
    _, head, body = (tmp_path / "small" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "base_model": 'someone/base: "one"',
        "tags": ["groundup"],
        "model-index": [
            {
                "name": "small",
                "results": [
                    {
                        "task": {"type": "text-generation"},
                        "dataset": {"name": "test", "type": "test", "revision": "b" * 64},
                        "metrics": [
                            {
                                "type": "f1",
                                "value": 0.97123,
                                "name": "f1 (interval 0.95 to 0.99)",
                                "args": {"low": 0.95, "high": 0.99, "source": "spam.json, sha256 ab"},
                            }
                        ],
                    }
                ],
            }
        ],
    }
    parameters = sum(p.numel() for p in model.parameters())
    for words in (
        "# small",
        f"{parameters:,} parameters",
        "| test f1 | 0.9712 (0.95 to 0.99) |",
        "Source: spam.json, sha256 ab.",
        "| items | 300 |",
        "a" * 64,
        "c55695a",
    ):
        assert words in body
    assert json.loads(body.partition("```json\n")[2].partition("```")[0]) == params
    with pytest.raises(BadInput, match="the metric runs is"):
        export_huggingface(checkpoint, tmp_path / "no", replace(facts, metrics={"runs": [1]}))
    assert not (tmp_path / "no").exists()


def other(pattern: str) -> BPETokenizer:
    return BPETokenizer.train(MESSAGES * 2, 280, pattern=pattern)


@pytest.mark.parametrize(
    ("model", "pattern", "words"),
    [
        (
            lambda n: random_encoder(vocab_size=n),
            "gpt2",
            "no Hugging Face model computes the same as this one",
        ),
        (
            lambda n: random_encoder_decoder("gpt2", vocab_size=n),
            "gpt2",
            "the model is an encoder-dec",
        ),
        (lambda n: classifier(random_encoder("bert", vocab_size=n), "max"), "gpt2", "supports only first"),
        (lambda n: random_decoder("gpt2", vocab_size=n), r"\S+$|\s+|\S", r"reads '\$' differently"),
    ],
)
def test_what_has_no_counterpart_is_refused_before_anything_is_written(
    model: Any, pattern: str, words: str, tmp_path: Path
) -> None:
    tokenizer = other(pattern)
    made = model(tokenizer.vocab_size)
    labels = ("ham", "spam") if isinstance(made, SequenceClassifier) else ()
    checkpoint = saved(tmp_path / "ours", made, tokenizer, labels=labels)
    with pytest.raises(BadInput, match=words):
        export_huggingface(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_replaced(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    model = random_decoder("gpt2", vocab_size=tokenizer.vocab_size)
    checkpoint = saved(tmp_path / "ours", model, tokenizer)
    with pytest.raises(BadInput, match="is not replaced"):
        export_huggingface(checkpoint, tmp_path)
    assert asdict(load_checkpoint(tmp_path / "ours").config) == asdict(checkpoint.config)


@torch.no_grad()
def test_adapters_are_merged(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = random_decoder(vocab_size=tokenizer.vocab_size, **LLAMA)
    save_checkpoint(tmp_path / "base", model, tokenizer)
    lora = LoRAConfig(rank=2, alpha=4, dropout=0.0, targets=("c_attn", "c_fc"))
    add_adapters(model, lora)
    randomised(model, seed=2)
    for name, parameter in load_checkpoint(tmp_path / "base").model.named_parameters():
        model.get_parameter(name).copy_(parameter)
    checkpoint = saved(tmp_path / "ours", model, tokenizer, base=tmp_path / "base", lora=lora)
    export_huggingface(checkpoint, tmp_path / "out")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    idx = torch.randint(tokenizer.vocab_size, (2, 16))
    torch.testing.assert_close(model.logits(model(idx)), theirs(idx).logits, atol=1e-4, rtol=1e-4)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"{sum(p.numel() for p in theirs.parameters()):,} parameters" in card
