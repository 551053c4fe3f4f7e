"""The iteration of Muon: make matrices nearly orthogonal by few and small matrix products.

A matrix with the singular value decomposition U S Vᵀ should become U Vᵀ. An odd polynomial of the singular values is
made of matrix products alone: a x + b x³ + c x⁵ is (a I + b G + c G²) X with the Gram matrix G = X Xᵀ. Newton-Schulz
iterations apply such a polynomial again and again. Three things make them cheap:

- The polynomials differ: each is the best for the interval that the one before it reaches.
- Two polynomials at once are computed from G alone, whose side is the smaller side of X, and X is multiplied once.
- The bound by which X is divided at the start is tight, so that singular values start close to 1.

With them, two polynomials bring the momentum of a training about as close to U Vᵀ as three iterations with the
coefficients of Jordan et al. 2024. If X is four times as wide as high, they take as much time as 13 products of two
matrices of G's size, instead of 27; if X is square, 7 instead of 9.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Quintic = tuple[float, float, float]  # a, b, c of a x + b x³ + c x⁵

ERROR = 0.3  # singular values of 1 ± 0.3 are all that Muon needs
MARGIN = 1.02  # rounding errors of bfloat16 must not lead out of the interval of a polynomial: it grows steeply there


def orthogonalise(stacks: Sequence[Tensor], steps: int, dtype: torch.dtype | None = None) -> list[Tensor]:
    """Make matrices nearly orthogonal: X = U S Vᵀ comes near U Vᵀ.

    Singular values above `reach(steps)` times a bound of the largest one end between 0.7 and 1.3, smaller ones below
    0.7.

    Args:
        stacks: of matrices, each (n, rows, columns) with its own n, rows and columns, but the smaller of rows and
            columns is the same for all.
        steps: number of polynomials.
        dtype: of the products; None: that of the matrices.

    Returns:
        For each stack its result, in the same shape and dtype.
    """
    matrices = [stack.to(dtype or stack.dtype) for stack in stacks]
    for start in range(0, steps, 2):  # more than two polynomials of one G would be inaccurate in bfloat16
        grams = torch.cat([x.mT @ x if _tall(x) else x @ x.mT for x in matrices])
        factors = _factors(grams, polynomials(steps)[start : start + 2], first=start == 0)
        split = factors.split([len(x) for x in matrices])
        matrices = [x @ factor if _tall(x) else factor @ x for x, factor in zip(matrices, split, strict=True)]
    return [x.type_as(stack) for x, stack in zip(matrices, stacks, strict=True)]


def _factors(gram: Tensor, quintics: Sequence[Quintic], *, first: bool) -> Tensor:
    """Return the matrices by which X is multiplied so that each singular value passes through the polynomials.

    Args:
        gram: (n, m, m), the Gram matrices of X.
        quintics: one or two polynomials.
        first: whether to divide X by a bound of its largest singular value before.

    Returns:
        (n, m, m).
    """
    divisor = None
    if first:
        size = gram.diagonal(dim1=-2, dim2=-1).sum(-1).clamp(min=1e-30)[:, None, None]  # X may be 0
        gram = gram / size  # so that no power of it underflows or overflows
    square = gram @ gram
    if first:
        # ‖G²‖ ≥ λ² for every eigenvalue λ of G, and is close to the largest
        bound = MARGIN * square.norm(dim=(-2, -1), keepdim=True).sqrt().clamp(min=1e-6)
        gram, square = gram / bound, square / bound.square()
        divisor = (size * bound).sqrt()
    factor = _quintic(gram, square, quintics[0])
    if len(quintics) == 2:
        # the Gram matrix after the first polynomial, since factor and gram commute
        gram = factor @ (factor @ gram)
        factor = _quintic(gram, gram @ gram, quintics[1]) @ factor
    return factor if divisor is None else factor / divisor


def _quintic(gram: Tensor, square: Tensor, coefficients: Quintic) -> Tensor:
    """Return a I + b G + c G²."""
    a, b, c = coefficients
    factor = (c * square).add_(gram, alpha=b)
    factor.diagonal(dim1=-2, dim2=-1).add_(a)
    return factor


def _tall(x: Tensor) -> bool:
    return x.shape[-2] > x.shape[-1]


@functools.cache
def polynomials(steps: int) -> tuple[Quintic, ...]:
    """Return the polynomials whose composition brings singular values from [reach, 1] to 1 ± ERROR.

    Each is the best approximation of 1 on the interval that those before it reach (Amsel et al. 2025, "The Polar
    Express", who prove that no other polynomials of these degrees are better).
    """
    return _compose(reach(steps), steps)[0]


@functools.cache
def reach(steps: int) -> float:
    """Return the smallest singular value, as a share of the largest, that `steps` polynomials bring to 1 - ERROR."""
    low, high = 1e-9, 1.0
    for _ in range(50):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _compose(middle, steps)[1] > ERROR else (low, middle)
    return high


def _compose(lower: float, steps: int) -> tuple[tuple[Quintic, ...], float]:
    """Return the best polynomials for [lower, 1], and how far from 1 their composition is there at most."""
    found, error = [], 1 - lower
    upper = 1.0
    for _ in range(steps):
        coefficients, error = best_quintic(lower, upper)
        found.append(coefficients)
        lower, upper = 1 - error, MARGIN * (1 + error)
    return tuple(found), error


def best_quintic(lower: float, upper: float) -> tuple[Quintic, float]:
    """Return the a x + b x³ + c x⁵ closest to 1 on an interval, and its largest distance from 1 there.

    The best polynomial has its largest distance, with alternating signs, at both ends and both extrema between them
    (Chebyshev). Remez' algorithm alternates between such a polynomial for four points and its extrema.
    """
    inner, outer = (3 * lower + upper) / 4, (lower + 3 * upper) / 4
    for _ in range(15):
        x = np.array([lower, inner, outer, upper])
        equations = np.stack([x, x**3, x**5, [1.0, -1.0, 1.0, -1.0]], axis=1)
        a, b, c, error = np.linalg.solve(equations, np.ones(4)).tolist()
        root = math.sqrt(9 * b * b - 20 * a * c)
        inner, outer = math.sqrt((-3 * b - root) / (10 * c)), math.sqrt((-3 * b + root) / (10 * c))
    return (a, b, c), abs(error)
