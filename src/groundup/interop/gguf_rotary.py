"""How a GGUF file says that rotary positions are stretched, as llama.cpp reads it for the architecture "llama".

Linear and yarn are fields. Llama 3's way is a tensor: how much slower each pair of channels turns.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from groundup.errors import BadInput
from groundup.interop.configs import yarn_attention
from groundup.nn.config import RopeScaling
from groundup.nn.rotary import frequencies

FACTORS = "rope_freqs.weight"  # no weight of the model
FIELDS = "llama.rope.scaling."
OLD_FACTOR = "llama.rope.scale_linear"
KNOWN = ("factor", "original_context_length", "attn_factor")
# Fields that change nothing with these values; None: whatever they are. llama.cpp has these betas for every Llama.
NEUTRAL = {
    "finetuned": None,
    "yarn_ext_factor": 1.0,
    "yarn_log_multiplier": 0.0,
    "yarn_beta_fast": 32.0,
    "yarn_beta_slow": 1.0,
}


def read_scaling(
    facts: Mapping[str, Any], factors: Tensor | None, head_dim: int, base: float, where: str
) -> RopeScaling | None:
    """What the fields of a file, and its tensor FACTORS if it has one, come to.

    Raises:
        BadInput: a value that is none, or a way that ours is not.
    """
    told = {name.removeprefix(FIELDS): value for name, value in facts.items() if name.startswith(FIELDS)}
    told.setdefault("factor", facts.get(OLD_FACTOR, 0.0))  # the defaults are llama.cpp's
    told.setdefault("original_context_length", facts.get("llama.context_length"))
    told.setdefault("attn_factor", 1.0)
    kind = told.pop("type", "linear")
    factor = _number(told, "factor", where) if told["factor"] else 1.0
    stretched = kind != "none" and (factor != 1 or kind not in ("linear", "yarn"))
    if factors is not None:
        if stretched:
            raise BadInput(
                f"{where} has {FACTORS} and {FIELDS}type {kind!r}; groundup knows one way of stretching positions at a "
                f"time: choose another model."
            )
        return read_factors(factors, head_dim, base, where)
    if not stretched:
        return None
    odd = [
        f"{name} {value!r}"
        for name, value in told.items()
        if name not in KNOWN and (name not in NEUTRAL or NEUTRAL[name] not in (None, value))
    ]
    if kind not in ("linear", "yarn") or (odd and kind == "yarn"):
        raise BadInput(
            f"{where} stretches rotary positions by {' and '.join([repr(kind), *odd])}; groundup reads linear, plain "
            f"yarn and Llama 3's factors from GGUF: choose another model."
        )
    if kind == "linear":
        return RopeScaling("linear", factor)
    usual, more = yarn_attention(factor), _number(told, "attn_factor", where, least=0.0)
    return RopeScaling(
        "yarn",
        factor,
        original_context=round(_number(told, "original_context_length", where)),
        attention_factor=usual if more == 1 else round(usual * more, 5),  # kept in 32 bits
    )


def read_factors(factors: Tensor, head_dim: int, base: float, where: str) -> RopeScaling | None:
    """The numbers of Llama 3's scaling from what they come to; None where no pair is slowed.

    The largest is `factor`. How much a pair between slow and fast ones is slowed tells the original context, given
    from how many turns to how many they are between: 1 to 4 in every model published. With no pair between, it is the
    longest in which the slow pairs turn at most once: any other with the same slow pairs computes the same.

    Args:
        factors: (D / 2,), plain frequency / slowed frequency.

    Raises:
        BadInput: other factors.
    """
    if factors.shape != (head_dim // 2,) or not (factors.isfinite() & (factors > 1 - 1e-4)).all():
        raise BadInput(
            f"{where} has a tensor {FACTORS} of shape {tuple(factors.shape)}; expected {head_dim // 2} numbers of at "
            f"least 1: download it again."
        )
    factor = round(float(factors.max()), 4)  # kept in 32 bits
    if factor == 1:
        return None
    plain, _ = frequencies(head_dim, base)
    slow = factors > factor * (1 - 1e-4)
    between = ~slow & (factors > 1 + 1e-4)
    if between.any():
        low, high = RopeScaling.low_freq_factor, RopeScaling.high_freq_factor
        turns = low + (1 / factors - 1 / factor) / (1 - 1 / factor) * (high - low)
        context = round(float((turns * 2 * math.pi / plain)[between].median()))
    else:
        context = math.floor(2 * math.pi / float(plain[slow].max()))
    scaling = RopeScaling("llama3", factor, original_context=context)
    if not torch.allclose(factors_of(head_dim, base, scaling), factors, rtol=1e-3):
        raise BadInput(
            f"{where} slows rotary positions down by factors that are not Llama 3's: take the model's Hugging Face "
            f"folder instead."
        )
    return scaling


def scaling_fields(scaling: RopeScaling | None) -> dict[str, Any]:
    """What a file says of it, without "llama." in front; nothing of Llama 3's, whose factors are a tensor.

    Raises:
        BadInput: yarn with other betas than llama.cpp's.
    """
    if scaling is None or scaling.kind == "llama3":
        return {}
    fields: dict[str, Any] = {"type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "yarn":
        if (scaling.beta_fast, scaling.beta_slow) != (NEUTRAL["yarn_beta_fast"], NEUTRAL["yarn_beta_slow"]):
            raise BadInput(
                f"the model has yarn with beta_fast {scaling.beta_fast:g} and beta_slow {scaling.beta_slow:g}; "
                f"llama.cpp knows 32 and 1: export to Hugging Face instead."
            )
        fields["original_context_length"] = scaling.original_context
        fields["attn_factor"] = scaling.attention_factor / yarn_attention(scaling.factor)
    return {f"rope.scaling.{name}": value for name, value in fields.items()}


def factors_of(head_dim: int, base: float, scaling: RopeScaling) -> Tensor:
    """(D / 2,): how much slower each pair of channels turns."""
    plain, _ = frequencies(head_dim, base)
    slowed, _ = frequencies(head_dim, base, scaling)
    return plain / slowed


def _number(told: Mapping[str, Any], name: str, where: str, least: float = 1.0) -> float:
    value = told.get(name)
    if not isinstance(value, int | float) or not math.isfinite(value) or value < least:
        raise BadInput(
            f"{where}: {FIELDS}{name} is {value!r}; expected a number of at least {least:g}: download it again."
        )
    return round(float(value), 6)
