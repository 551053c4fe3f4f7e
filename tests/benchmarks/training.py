"""Training steps: forward, backward, clipping and optimizer, on random tokens.

transformers runs its GPT-2 with torch's fused AdamW; groundup runs `fit`, its own training loop. The share of the
matrix-product peak counts 6 FLOP per token and weight of a matrix and 12 n_layer n_embd T for attention (Chowdhery et
al. 2022, appendix B); the iteration of Muon does not count.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.benchmarks.runner import ROOT, Contender, Goal, Row

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adamw": {"kind": "adamw"},
    "muon": {"kind": "muon", "momentum": 0.95, "newton_schulz_steps": 5},
}


@dataclass(frozen=True)
class Shape:
    """A model and a step: `micro_batches` of `batch` sequences of `context` tokens."""

    n_embd: int
    n_layer: int
    n_head: int
    context: int
    batch: int
    vocab_size: int
    micro_batches: int = 1

    @property
    def tokens(self) -> int:
        """Tokens of one step."""
        return self.micro_batches * self.batch * self.context

    @property
    def flop(self) -> float:
        """Floating-point operations per token, forward and backward."""
        weights = 12 * self.n_layer * self.n_embd**2 + self.vocab_size * self.n_embd
        return 6 * weights + 12 * self.n_layer * self.n_embd * self.context


WIDE = Shape(384, 6, 6, 256, 8, 50_257)
SMALL = Shape(128, 4, 4, 64, 12, 65)
GPT2 = Shape(768, 12, 12, 256, 2, 50_257)
GPT2_LONG_STEP = Shape(768, 12, 12, 256, 2, 50_257, micro_batches=8)


def peer(shape: Shape) -> Contender:
    """transformers at a shape."""
    return Contender("transformers", f"{__name__}.transformers", {"shape": asdict(shape)})


def own(shape: Shape, preset: str, optimizer: str, dtype: str = "float32") -> Contender:
    """groundup at a shape."""
    arguments = {"shape": asdict(shape), "preset": preset, "optimizer": optimizer, "dtype": dtype}
    name = f"{preset} with Muon" if optimizer == "muon" else preset
    return Contender(name, f"{__name__}.groundup", arguments, ours=True)


def variants(shape: Shape, dtype: str = "float32") -> tuple[Contender, ...]:
    """All contenders at a shape."""
    return (
        peer(shape),
        own(shape, "gpt2", "adamw", dtype),
        own(shape, "llama", "adamw", dtype),
        own(shape, "modern", "muon", dtype),
    )


def peak(shape: Shape) -> Contender:
    """The machine's matrix products, measured in the same rounds; its speed is in tokens of the shape."""
    return Contender("matrix products", f"{__name__}.matrix_products", {"shape": asdict(shape)})


def goals(*ratios: tuple[str, float], factor: float) -> tuple[Goal, ...]:
    """Goals against nanoGPT, which is `factor` times as fast as transformers."""
    return tuple(Goal(name, "transformers", ratio, "nanoGPT", factor) for name, ratio in ratios)


ROWS = (
    Row(
        "training-384",
        "training step, 384 wide, 6 layers, context 256, batch 8, vocabulary 50,257, each as it comes",
        "tokens/s",
        variants(WIDE, "auto"),
        goals(("gpt2", 1.5), ("llama", 1.5), ("modern with Muon", 1.5), factor=1.03),
        gigabytes=11,
    ),
    Row(
        "training-384-alike",
        "training step as above, allocator set alike, all in float32",
        "tokens/s",
        (*variants(WIDE), peak(WIDE)),
        (
            *goals(("gpt2", 1.2), ("llama", 1.2), ("modern with Muon", 1.1), factor=1.03),
            Goal("gpt2", "matrix products", 0.85, "matrix products"),
        ),
        alike=True,
        gigabytes=11,
    ),
    Row(
        "training-128-alike",
        "training step, 128 wide, 4 layers, context 64, batch 12, vocabulary 65, allocator set alike",
        "tokens/s",
        (*variants(SMALL), peak(SMALL)),
        goals(("gpt2", 1.3), ("llama", 1.3), ("modern with Muon", 1.0), factor=1.18),
        rounds=5,
        alike=True,
        gigabytes=3,
    ),
    Row(
        "training-124m-alike",
        "training step, 124M, context 256, batch 2, vocabulary 50,257, allocator set alike",
        "tokens/s",
        (*variants(GPT2)[:3], peak(GPT2)),
        goals(("gpt2", 1.2), ("llama", 1.2), factor=1.06),
        alike=True,
        gigabytes=10,
    ),
    Row(
        "training-124m",
        "training step, 124M, context 256, batch 2, each as it comes",
        "tokens/s",
        variants(GPT2, "auto")[:2],
        goals(("gpt2", 1.2), factor=1.06),
        gigabytes=6,
    ),
    Row(
        "training-124m-muon",
        "training step, 124M, 8 micro-batches of 512 tokens, allocator set alike",
        "tokens/s",
        (peer(GPT2_LONG_STEP), own(GPT2_LONG_STEP, "modern", "muon")),
        goals(("modern with Muon", 1.0), factor=1.06),
        rounds=2,
        seconds=0,
        alike=True,
        gigabytes=8,
    ),
)


def random_batches(shape: Shape) -> Sequence[Any]:
    """Return eight batches of tokens (batch, context + 1)."""
    import torch

    torch.manual_seed(0)
    return torch.randint(0, shape.vocab_size, (8, shape.batch, shape.context + 1)).unbind()


def compute_config(threads: int, dtype: str = "auto") -> Any:
    """Return the ComputeConfig of params.yaml, on the CPU."""
    import yaml
    from pydantic import TypeAdapter

    from groundup.training.config import ComputeConfig

    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["compute"]
    return TypeAdapter(ComputeConfig).validate_python(
        {**values, "device": "cpu", "dtype": dtype, "threads": threads}
    )


def transformers(watch: Any, shape: dict[str, int]) -> None:
    """Train GPT-2 of transformers as its documentation does, without dropout."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    size = Shape(**shape)
    batches = random_batches(size)
    config = GPT2Config(
        vocab_size=size.vocab_size,
        n_positions=size.context,
        n_embd=size.n_embd,
        n_layer=size.n_layer,
        n_head=size.n_head,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    step = 0
    while True:
        for _ in range(size.micro_batches):
            idx = batches[step % len(batches)][:, :-1]
            step += 1
            (model(input_ids=idx, labels=idx, use_cache=False).loss / size.micro_batches).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        watch(size.tokens)


def groundup(watch: Any, shape: dict[str, int], preset: str, optimizer: str, dtype: str) -> None:
    """Train with `fit`, whose `log` is called after each step."""
    import torch
    from pydantic import TypeAdapter

    from groundup.nn.config import ModelParams
    from groundup.nn.decoder import Decoder
    from groundup.training.config import TrainingConfig
    from groundup.training.devices import pick_device
    from groundup.training.loop import fit
    from groundup.training.objectives import Batch, causal_lm

    size, compute = Shape(**shape), compute_config(watch.threads, dtype)
    pick_device(compute)
    batches = [
        Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()) for tokens in random_batches(size)
    ]
    params = ModelParams(
        preset, size.context, size.n_layer, size.n_head, size.n_head, size.n_embd, dropout=0.0
    )
    torch.manual_seed(0)
    model = Decoder(params.config(size.vocab_size))
    rates = {"max_lr": 1e-4, "warmup_steps": 0, "decay": None, "weight_decay": 0.1, "betas": (0.9, 0.95)}
    training = TypeAdapter(TrainingConfig).validate_python(
        {
            "max_steps": 10**9,
            "max_seconds": None,
            "batch_size": size.batch,
            "grad_accum_steps": size.micro_batches,
            "grad_clip": 1.0,
            "eval_interval": 0,
            "patience": None,
            "checkpoint_interval": 0,
            "optimizer": {**OPTIMIZERS[optimizer], **rates},
        }
    )
    fit(
        model,
        causal_lm,
        lambda step: [batches[(step * size.micro_batches + i) % 8] for i in range(size.micro_batches)],
        training,
        compute,
        seed=1,
        log=lambda row, step: watch(size.tokens),
    )


def matrix_products(watch: Any, shape: dict[str, int]) -> None:
    """Multiply float32 matrices, and count as many tokens as the same FLOP would train."""
    import torch

    torch.set_num_threads(watch.threads)
    n = 2048
    a, b = torch.randn(n, n), torch.randn(n, n)
    out = torch.empty(n, n)
    while True:
        torch.mm(a, b, out=out)
        watch(2 * n**3 / Shape(**shape).flop)
