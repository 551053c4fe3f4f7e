"""The scaling of rotary positions in a GGUF file, as llama.cpp reads it for the architecture "llama".

Linear and YaRN scaling are fields of the file. Llama 3's scaling is a tensor: the factor by which each pair
of channels rotates more slowly.
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

FACTORS = "rope_freqs.weight"  # a tensor of the file, but not a weight of the model
FIELDS = "llama.rope.scaling."
OLD_FACTOR = "llama.rope.scale_linear"
KNOWN = ("factor", "original_context_length", "attn_factor")
# Fields without effect if they have these values (None: any value). llama.cpp uses these betas for every Llama.
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
    """Return the scaling of rotary positions that a GGUF file describes, or None.

    Args:
        facts: the fields of the file.
        factors: the tensor FACTORS (D / 2,), or None.
        head_dim: channels per head, D.
        base: base of the rotary frequencies.
        where: the file, for messages.

    Raises:
        BadInput: a value is not a valid number, or the type of scaling is not supported.
    """
    given = {name.removeprefix(FIELDS): value for name, value in facts.items() if name.startswith(FIELDS)}
    given.setdefault("factor", facts.get(OLD_FACTOR, 0.0))  # the defaults are llama.cpp's
    given.setdefault("original_context_length", facts.get("llama.context_length"))
    given.setdefault("attn_factor", 1.0)
    kind = given.pop("type", "linear")
    factor = _number(given, "factor", where) if given["factor"] else 1.0
    stretched = kind != "none" and (factor != 1 or kind not in ("linear", "yarn"))
    if factors is not None:
        if stretched:
            raise BadInput(
                f"{where} has {FACTORS} and {FIELDS}type {kind!r}; expected one kind of scaling at a time: choose "
                f"another model."
            )
        return read_factors(factors, head_dim, base, where)
    if not stretched:
        return None
    odd = [
        f"{name} {value!r}"
        for name, value in given.items()
        if name not in KNOWN and (name not in NEUTRAL or NEUTRAL[name] not in (None, value))
    ]
    if kind not in ("linear", "yarn") or (odd and kind == "yarn"):
        raise BadInput(
            f"{where} scales rotary positions by {' and '.join([repr(kind), *odd])}; expected linear, plain yarn or "
            f"Llama 3's factors: choose another model."
        )
    if kind == "linear":
        return RopeScaling("linear", factor)
    usual, more = yarn_attention(factor), _number(given, "attn_factor", where, least=0.0)
    return RopeScaling(
        "yarn",
        factor,
        original_context=round(_number(given, "original_context_length", where)),
        attention_factor=usual if more == 1 else round(usual * more, 5),  # a float32 in the file
    )


def read_factors(factors: Tensor, head_dim: int, base: float, where: str) -> RopeScaling | None:
    """Recover the parameters of Llama 3's scaling of rotary positions from its factors.

    The factor of slow pairs of channels is the scaling's `factor`, that of fast pairs is 1, and others are
    between the two. A pair between them gives the original context, if the limits of that range are known:
    they are 1 and 4 turns in all Llama 3 models. Without such a pair, the original context is taken as the
    longest in which the slow pairs turn at most once; any other context with the same slow pairs computes the
    same.

    Args:
        factors: (D / 2,), plain frequency / slowed frequency.
        head_dim: channels per head, D.
        base: base of the rotary frequencies.
        where: the file, for messages.

    Returns:
        The scaling, or None if no pair of channels is slowed down.

    Raises:
        BadInput: the factors are not Llama 3's.
    """
    if factors.shape != (head_dim // 2,) or not (factors.isfinite() & (factors > 1 - 1e-4)).all():
        raise BadInput(
            f"{where} has a tensor {FACTORS} of shape {tuple(factors.shape)}; expected {head_dim // 2} numbers of at "
            f"least 1: download it again."
        )
    factor = round(float(factors.max()), 4)  # a float32 in the file
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
            f"{where} scales rotary positions by factors that are not Llama 3's: import the model's Hugging Face "
            f"folder instead."
        )
    return scaling


def scaling_fields(scaling: RopeScaling | None) -> dict[str, Any]:
    """Return the fields of a GGUF file for this scaling of rotary positions, without the prefix "llama.".

    Llama 3's scaling has no fields, since it is a tensor.

    Raises:
        BadInput: YaRN has betas other than llama.cpp's.
    """
    if scaling is None or scaling.kind == "llama3":
        return {}
    fields: dict[str, Any] = {"type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "yarn":
        if (scaling.beta_fast, scaling.beta_slow) != (NEUTRAL["yarn_beta_fast"], NEUTRAL["yarn_beta_slow"]):
            raise BadInput(
                f"the model has yarn with beta_fast {scaling.beta_fast:g} and beta_slow {scaling.beta_slow:g}; "
                f"llama.cpp supports only 32 and 1: export to Hugging Face instead."
            )
        fields["original_context_length"] = scaling.original_context
        fields["attn_factor"] = scaling.attention_factor / yarn_attention(scaling.factor)
    return {f"rope.scaling.{name}": value for name, value in fields.items()}


def factors_of(head_dim: int, base: float, scaling: RopeScaling) -> Tensor:
    """Return the factor by which `scaling` slows the rotation of each pair of channels: (head_dim / 2,)."""
    plain, _ = frequencies(head_dim, base)
    slowed, _ = frequencies(head_dim, base, scaling)
    return plain / slowed


def _number(given: Mapping[str, Any], name: str, where: str, least: float = 1.0) -> float:
    value = given.get(name)
    if not isinstance(value, int | float) or not math.isfinite(value) or value < least:
        raise BadInput(
            f"{where}: {FIELDS}{name} is {value!r}; expected a number of at least {least:g}: download it again."
        )
    return round(float(value), 6)
