"""Generation with the shape of GPT-2 (124M) and random weights: greedy, 64 new tokens for each prompt.

A speed counts new tokens and the time of reading the prompts too.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.runner import Contender, Goal, Row

SHAPE = {"context_length": 1024, "n_layer": 12, "n_head": 12, "n_embd": 768}
VOCAB_SIZE = 50_257
NEW_TOKENS = 64
ONE = (32,)  # lengths of the prompts
MIXED = tuple(range(8, 129, 8))


def contenders(lengths: Sequence[int]) -> tuple[Contender, ...]:
    """Everyone who continues prompts of these lengths."""
    prompts = {"lengths": lengths}
    return (
        Contender("transformers", f"{__name__}.transformers", prompts),
        Contender("float32", f"{__name__}.groundup", prompts, ours=True),
        Contender(
            "default weights of chat", f"{__name__}.groundup", {**prompts, "weights": "default"}, ours=True
        ),
    )


def llama(lengths: Sequence[int], kind: str) -> Contender:
    """llama.cpp with the same model, exported by groundup."""
    return Contender(f"llama.cpp, {kind}", f"{__name__}.llama_cpp", {"lengths": lengths, "kind": kind})


def goals(float32: float, default: float) -> tuple[Goal, ...]:
    """Goals against transformers."""
    return (
        Goal("float32", "transformers", float32, "transformers"),
        Goal("default weights of chat", "transformers", default, "transformers"),
    )


ROWS = (
    Row(
        "generation-1",
        "generation, 124M, one prompt of 32 tokens, 64 new",
        "tokens/s",
        (*contenders(ONE), llama(ONE, "float32"), llama(ONE, "float16"), llama(ONE, "q8_0")),
        goals(1.5, 3.2),
        gigabytes=6,
    ),
    Row(
        "generation-16",
        "generation, 124M, 16 prompts of 8 to 128 tokens, 64 new each",
        "tokens/s",
        contenders(MIXED),
        goals(1.6, 3.0),
        seconds=0,
        gigabytes=4,
    ),
)


def random_prompts(lengths: Sequence[int]) -> list[list[int]]:
    """Return one prompt of each length."""
    import torch

    torch.manual_seed(1)
    return [torch.randint(0, VOCAB_SIZE - 1, (length,)).tolist() for length in lengths]


def transformers(watch: Any, lengths: Sequence[int]) -> None:
    """Generate with transformers, prompts padded on the left."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB_SIZE)).eval()
    model.generation_config.eos_token_id = None
    longest = max(lengths)
    idx = torch.tensor([[0] * (longest - len(p)) + p for p in random_prompts(lengths)])
    mask = torch.tensor([[0] * (longest - n) + [1] * n for n in lengths])
    while True:
        with torch.inference_mode():
            out = model.generate(
                idx, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0
            )
        watch(out[:, longest:].numel())


def own_model() -> Any:
    """Return groundup's GPT-2 with random weights."""
    import torch

    from groundup.nn.config import ModelParams
    from groundup.nn.decoder import Decoder

    torch.manual_seed(0)
    params = ModelParams("gpt2", n_kv_head=SHAPE["n_head"], dropout=0.0, **SHAPE)
    return Decoder(params.config(VOCAB_SIZE)).eval()


def tokenizer() -> Any:
    """Return a tokenizer for the random model, whose tokens are single bytes and pairs of bytes."""
    from itertools import islice, product

    from groundup.tokenizers.bpe import BPETokenizer

    pairs = islice(product(range(256), repeat=2), VOCAB_SIZE - 257)
    tokens = [*(bytes([byte]) for byte in range(256)), *(bytes(pair) for pair in pairs)]
    return BPETokenizer({token: i for i, token in enumerate(tokens)}, "gpt2")


def chat_model() -> Any:
    """Return the same model as `groundup chat` loads it by default."""
    from groundup.checkpoint import save_checkpoint
    from groundup.cli.main import _language_model

    with TemporaryDirectory() as folder:
        file = Path(folder) / "model"
        save_checkpoint(file, own_model(), tokenizer())
        return _language_model(file, None).model


def groundup(watch: Any, lengths: Sequence[int], weights: str = "float32") -> None:
    """Generate with groundup's decoder."""
    import torch

    from groundup.generation.decoding import generate
    from groundup.generation.sampling import Sampling

    torch.set_num_threads(watch.threads)
    model = chat_model() if weights == "default" else own_model()
    prompts = random_prompts(lengths)
    while True:
        new = generate(model, prompts, max_new_tokens=NEW_TOKENS, sampling=Sampling(), stop_ids=())
        watch(sum(map(len, new)))


def save_gguf(file: Path, kind: str) -> None:
    """Export groundup's model for llama.cpp."""
    from groundup.checkpoint import Checkpoint, CheckpointConfig
    from groundup.interop.export_gguf import export_gguf

    model, text = own_model(), tokenizer()
    export_gguf(
        Checkpoint(model, text, CheckpointConfig("decoder", model.config, text.fingerprint)), file, kind
    )


def llama_cpp(watch: Any, lengths: Sequence[int], kind: str) -> None:
    """Generate with llama.cpp, one prompt at a time."""
    from llama_cpp import Llama

    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.gguf"
        save_gguf(file, kind)
        model = Llama(
            str(file), n_ctx=512, n_threads=watch.threads, n_threads_batch=watch.threads, verbose=False
        )
    prompts = random_prompts(lengths)
    while True:
        for prompt in prompts:
            model.reset()
            for _, _token in zip(
                range(NEW_TOKENS), model.generate(prompt, temp=0.0, reset=True), strict=False
            ):
                pass
        watch(NEW_TOKENS * len(prompts))
