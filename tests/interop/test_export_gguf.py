import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundup.checkpoint import Checkpoint
from groundup.errors import BadInput
from groundup.generation.chat_template import ChatTemplate
from groundup.generation.decoding import generate
from groundup.generation.sampling import Sampling
from groundup.interop.configs import WRITTEN, yarn_attention
from groundup.interop.export_gguf import export_gguf
from groundup.interop.gguf import load_model
from groundup.interop.gguf_file import open_gguf
from groundup.interop.model_card import CardFacts
from groundup.interop.published import load_published
from groundup.nn.config import RopeScaling
from groundup.tokenizers.bpe import END_OF_TEXT, BPETokenizer
from tests.interop.test_configs import OTHERS
from tests.interop.test_export_huggingface import CHATML, classifier, saved
from tests.tiny import random_decoder, random_encoder

gguf = pytest.importorskip("gguf")
SIZES: dict[str, Any] = {"context_length": 64, "n_embd": 64, "n_kv_head": 2}
PATTERNS = ["gpt2", "smollm"]
TEXTS = ["tea and cake and tea, 12 cakes", "the cat's mat\n  and the hat, 1984", "naïve café 😀 ٣"] * 2


def a_tokenizer(pattern: str = "gpt2") -> BPETokenizer:
    return BPETokenizer.train(TEXTS, 300, pattern=pattern, special_tokens=[END_OF_TEXT, "<|im_start|>"])


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    return a_tokenizer()


def llama(tokenizer: BPETokenizer, folder: Path, **changes: Any) -> Checkpoint:
    model = random_decoder("llama", vocab_size=tokenizer.vocab_size, **{**SIZES, **changes})
    return saved(folder, model, tokenizer)


def gpt2(tokenizer: BPETokenizer, folder: Path) -> Checkpoint:
    sizes = {
        **SIZES,
        "n_kv_head": 4,
        "context_length": 1024,
    }  # as GPT-2, which transformers cannot read from GGUF
    return saved(folder, random_decoder("gpt2", vocab_size=tokenizer.vocab_size, **sizes), tokenizer)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_embeddings": False, "rope_base": 500.0},
        {"rope_scaling": RopeScaling("linear", 2.0), "n_inner": 96},
        {"rope_scaling": RopeScaling("llama3", 8.0, original_context=32)},
        {"rope_scaling": RopeScaling("yarn", 4.0, original_context=16, attention_factor=1.2)},
        {"rope_scaling": RopeScaling("yarn", 4.0, original_context=16, attention_factor=yarn_attention(4.0))},
    ],
)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_it_comes_back_bit_for_bit(changes: dict[str, Any], pattern: str, tmp_path: Path) -> None:
    tokenizer = a_tokenizer(pattern)
    template = ChatTemplate(CHATML, "<|im_start|>", END_OF_TEXT)
    model = random_decoder("llama", vocab_size=tokenizer.vocab_size, **{**SIZES, **changes})
    facts = {"prompt_style": "chat_template", "chat_template": template}
    export_gguf(saved(tmp_path / "ours", model, tokenizer, **facts), tmp_path / "m.gguf")
    back = load_published(tmp_path / "m.gguf")
    assert replace(back.model.config, n_inner=None) == replace(model.config, n_inner=None)
    assert back.model.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in back.model.state_dict().items())
    assert back.tokenizer.fingerprint == tokenizer.fingerprint
    assert back.chat_template == template


@pytest.mark.parametrize(
    ("architecture", "name"),
    # the size of the vocabulary is that of the tokenizer, which is in the file too
    [(made, name) for made in ("gpt2", "llama") for name in sorted(WRITTEN[made] - {"vocab_size"})],
)
def test_a_field_that_may_vary_shows_in_the_file(
    architecture: str, name: str, tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    found = []
    for number, changes in enumerate(({}, OTHERS[name])):
        model = random_decoder(architecture, vocab_size=tokenizer.vocab_size, **changes)
        out = tmp_path / f"{number}" / "m.gguf"
        export_gguf(saved(out.parent, model, tokenizer), out)
        file = gguf.GGUFReader(out)
        values = {field.name: field.contents() for field in file.fields.values()}
        found.append((values, {tensor.name for tensor in file.tensors}))
    assert found[0] != found[1]


@torch.no_grad()
@pytest.mark.parametrize("make", [llama, gpt2])
def test_transformers_reads_the_same_model_from_the_file(
    make: Any, tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    checkpoint = make(tokenizer, tmp_path / "ours")
    export_gguf(checkpoint, tmp_path / "m.gguf")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf").eval()
    idx = torch.randint(tokenizer.vocab_size, (3, 64))
    ours = checkpoint.model.logits(checkpoint.model(idx))
    torch.testing.assert_close(ours, theirs(idx).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("dtype", "bound"), [("float16", 1e-3), ("q8_0", 8e-3)])
def test_matrices_in_fewer_bits(dtype: Any, bound: float, tokenizer: BPETokenizer, tmp_path: Path) -> None:
    checkpoint = llama(
        tokenizer, tmp_path / "ours", n_inner=80
    )  # rows of 80 values: no whole number of blocks
    export_gguf(checkpoint, tmp_path / "m.gguf", dtype)
    back = load_model(open_gguf(tmp_path / "m.gguf")).state_dict()
    for name, tensor in checkpoint.model.state_dict().items():
        wrong = (back[name] - tensor).abs().max() / tensor.abs().max()
        assert wrong <= (bound if tensor.dim() > 1 else 0), name
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    matrix = {"float16": "F16", "q8_0": "Q8_0"}[dtype]
    assert (kinds["blk.0.attn_q.weight"], kinds["blk.0.attn_norm.weight"]) == (matrix, "F32")
    assert kinds["blk.1.ffn_down.weight"] == "F16"


def test_the_factors_of_llama_3_are_a_tensor(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    """The factors of Llama 3.1's own file, by its formula."""
    scaling = RopeScaling("llama3", 8.0, original_context=8192)
    config = {"n_embd": 256, "n_head": 2, "rope_base": 500_000.0, "rope_scaling": scaling}
    export_gguf(llama(tokenizer, tmp_path / "ours", **config), tmp_path / "m.gguf")
    [found] = [t.data for t in gguf.GGUFReader(tmp_path / "m.gguf").tensors if t.name == "rope_freqs.weight"]
    expected = []
    for i in range(64):
        length = 2 * np.pi * 500_000 ** (2 * i / 128)
        smooth = (8192 / length - 1) / (4 - 1)
        between = 1 / ((1 - smooth) / 8 + smooth)
        expected.append(1 if length < 8192 / 4 else 8 if length > 8192 else between)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert (found[0], found[-1]) == (1, 8)


def test_name_and_licence(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    export_gguf(
        llama(tokenizer, tmp_path / "ours"), tmp_path / "m.gguf", facts=CardFacts(licence="apache-2.0")
    )
    fields = gguf.GGUFReader(tmp_path / "m.gguf").fields
    told = {name: fields[f"general.{name}"].contents() for name in ("name", "license", "file_type")}
    assert told == {"name": "m", "license": "apache-2.0", "file_type": 0}


def test_what_llama_cpp_does_not_do_is_refused(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    n, out = tokenizer.vocab_size, tmp_path / "m.gguf"
    steep = RopeScaling("yarn", 4.0, original_context=16, beta_fast=8.0)
    own = a_tokenizer(r"\S+|\s+")
    for number, (model, words, vocabulary) in enumerate(
        [
            (random_decoder("modern", vocab_size=n), "no Hugging Face model computes", tokenizer),
            (
                random_encoder("bert", vocab_size=n),
                "is an encoder .*; llama.cpp runs only decoders",
                tokenizer,
            ),
            (classifier(random_decoder("gpt2", vocab_size=n)), "is a classifier", tokenizer),
            (random_decoder("llama", vocab_size=n, rope_scaling=steep), "beta_fast 8 and", tokenizer),
            (
                random_decoder("llama", vocab_size=own.vocab_size),
                "does not support the tokenizer pattern",
                own,
            ),
        ]
    ):
        facts = {"labels": ("ham", "spam")} if "classifier" in words else {}
        checkpoint = saved(tmp_path / f"{number}", model, vocabulary, **facts)
        with pytest.raises(BadInput, match=words):
            export_gguf(checkpoint, out)
        assert not out.exists()
    out.touch()
    with pytest.raises(BadInput, match="is not replaced"):
        export_gguf(llama(tokenizer, tmp_path / "ours"), out)


STRETCHED = {
    "linear": RopeScaling("linear", 2.0),
    "llama3": RopeScaling("llama3", 8.0, original_context=32),
    "yarn": RopeScaling("yarn", 4.0, original_context=16, attention_factor=1.2),
}


@torch.no_grad()
@pytest.mark.parametrize(
    ("make", "pattern", "bound"),
    [
        pytest.param(llama, "gpt2", 1e-4, id="llama"),
        pytest.param(llama, "smollm", 1e-4, id="llama smollm"),
        *(
            pytest.param(partial(llama, rope_scaling=scaling), "gpt2", 1e-4, id=f"llama {name}")
            for name, scaling in STRETCHED.items()
        ),
        pytest.param(gpt2, "gpt2", 5e-3, id="gpt2"),  # llama.cpp looks GELU up in a table of half precision
    ],
)
def test_llama_cpp_computes_the_same(make: Any, pattern: str, bound: float, tmp_path: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    tokenizer = a_tokenizer(pattern)
    checkpoint = make(tokenizer, tmp_path / "ours")
    export_gguf(checkpoint, tmp_path / "m.gguf")
    cache = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}  # half precision else
    theirs = llama_cpp.Llama(str(tmp_path / "m.gguf"), n_ctx=64, logits_all=True, verbose=False, **cache)
    for text in [*TEXTS, "<|im_start|>tea 1984!\n\n  <|endoftext|>"]:
        ids = tokenizer.encode(text, allow_special=True)
        assert theirs.tokenize(text.encode(), add_bos=False, special=True) == ids
        theirs.reset()
        theirs.eval(ids)
        ours = checkpoint.model.logits(checkpoint.model(torch.tensor([ids])))[0]
        torch.testing.assert_close(torch.tensor(theirs.scores[: len(ids)]), ours, atol=bound, rtol=0)
        if make is not gpt2:
            (new,) = generate(checkpoint.model, [ids], max_new_tokens=16, sampling=Sampling(), stop_ids=[])
            steps = theirs.generate(ids, temp=0.0, repeat_penalty=1.0, reset=True)
            assert [token for token, _ in zip(steps, new, strict=False)] == new


def test_the_template_is_that_of_the_folder(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    from groundup.interop.export_huggingface import export_huggingface

    model = random_decoder("llama", vocab_size=tokenizer.vocab_size, **SIZES)
    checkpoint = saved(tmp_path / "ours", model, tokenizer, prompt_style="alpaca_short")
    export_gguf(checkpoint, tmp_path / "m.gguf")
    export_huggingface(checkpoint, tmp_path / "folder")
    found = load_published(tmp_path / "m.gguf").chat_template
    assert found == load_published(tmp_path / "folder").chat_template
    vocabulary = json.loads((tmp_path / "folder" / "tokenizer.json").read_text(encoding="utf-8"))["model"][
        "vocab"
    ]
    fields = gguf.GGUFReader(tmp_path / "m.gguf").fields
    assert fields["tokenizer.ggml.tokens"].contents() == list(vocabulary)
