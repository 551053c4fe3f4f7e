import numpy as np
import pytest
import torch
from torch import Tensor

from groundup.training.orthogonal import ERROR, MARGIN, best_quintic, orthogonalise, polynomials, reach


def expected_values(values: Tensor, steps: int) -> Tensor:
    """Apply the polynomials to the singular values of a matrix, divided by the root of the norm of G²."""
    values = values / (MARGIN**0.5 * (values**8).sum() ** 0.125)
    for a, b, c in polynomials(steps):
        values = a * values + b * values**3 + c * values**5
    return values


@pytest.mark.parametrize("shape", [(6, 6), (6, 13), (13, 6)])
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_against_the_singular_value_decomposition(shape: tuple[int, int], steps: int) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(3, *shape, dtype=torch.float64) * torch.tensor([1e-6, 1.0, 1e6])[:, None, None]
    (found,) = orthogonalise([matrices], steps)
    for matrix, result in zip(matrices, found, strict=True):
        u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
        torch.testing.assert_close(result, u * expected_values(s, steps) @ vt)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("rows", "columns"), [(48, 192), (192, 48), (48, 48)])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_singular_values_within_reach_end_near_one(
    rows: int, columns: int, dtype: torch.dtype, steps: int
) -> None:
    torch.manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(side, 48))[0] for side in (rows, columns))
    values = torch.logspace(0, -3, 48)
    matrix = u * values @ v.T
    result = orthogonalise([matrix[None]], steps, dtype)[0][0]
    assert result.dtype == torch.float32
    rounding = 1e-3 if dtype == torch.float32 else 0.15
    assert float(torch.linalg.svdvals(result).max()) < 1 + ERROR + rounding
    if dtype == torch.float32:  # in bfloat16, the vectors of small singular values mix
        reached = values > 1.5 * reach(steps)  # 1.5: how far the bound exceeds the largest value
        along = torch.einsum("ij,ik,kj->j", u, result, v)
        assert float(along[reached].min()) > 1 - ERROR - rounding


def test_momentum_comes_as_close_to_orthogonal_as_by_three_iterations_of_jordan() -> None:
    def jordan(x: Tensor) -> Tensor:
        x = x / x.norm()
        for _ in range(3):
            gram = x @ x.T
            x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
        return x

    def cosine(x: Tensor, y: Tensor) -> float:
        return float((x * y).sum() / x.norm() / y.norm())

    torch.manual_seed(0)
    for rows, columns in ((64, 256), (64, 64)):
        # a few directions that many gradients share, and noise, as in the momentum of a training
        matrix = torch.randn(rows, 4) @ torch.randn(4, columns) / 4 + torch.randn(rows, columns)
        u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
        found = cosine(orthogonalise([matrix[None]], 2)[0][0], u @ vt)
        assert found > 0.93
        assert found > cosine(jordan(matrix), u @ vt) - 0.01


def test_shapes_with_the_same_smaller_side_are_processed_together() -> None:
    torch.manual_seed(0)
    stacks = [torch.randn(shape) for shape in ((2, 5, 5), (1, 5, 9), (3, 7, 5))]
    together = orthogonalise(stacks, 3)
    for stack, found in zip(stacks, together, strict=True):
        for matrix, result in zip(stack, found, strict=True):
            torch.testing.assert_close(result, orthogonalise([matrix[None]], 3)[0][0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_stays_zero(dtype: torch.dtype) -> None:
    stacks = [torch.zeros(2, 3, 4, dtype=dtype), torch.zeros(1, 3, 3, dtype=dtype)]
    for stack, result in zip(stacks, orthogonalise(stacks, 3), strict=True):
        assert torch.equal(result, stack)


@pytest.mark.parametrize(("lower", "upper"), [(0.01, 1.0), (0.04, 1.0), (0.2, 1.85)])
def test_the_best_quintic_errs_equally_at_four_points(lower: float, upper: float) -> None:
    (a, b, c), error = best_quintic(lower, upper)
    x = np.linspace(lower, upper, 100_001)
    y = a * x + b * x**3 + c * x**5 - 1
    assert np.abs(y).max() == pytest.approx(error, abs=1e-6)
    touched = np.sign(y[np.abs(y) > error - 1e-6])
    assert np.count_nonzero(np.diff(touched)) == 3  # alternating signs: no other is better (Chebyshev)


def test_the_published_polynomials_are_found() -> None:
    # Amsel et al. 2025, section 3: the first polynomial for values from 0.001, and the last as l approaches 1
    (a, b, c), _ = best_quintic(1e-3, 1.0)
    assert (a, b, c) == pytest.approx((8.472, -25.108, 18.629), abs=5e-3)
    (a, b, c), _ = best_quintic(0.99, 1.01)
    assert (a, b, c) == pytest.approx((15 / 8, -10 / 8, 3 / 8), abs=1e-2)


def test_more_polynomials_reach_smaller_values() -> None:
    assert [reach(steps) for steps in (1, 2, 3)] == pytest.approx([0.1565, 0.0391, 0.0095], abs=1e-4)
    for steps in (1, 2, 3):
        x = np.linspace(reach(steps), 1, 100_001)
        for a, b, c in polynomials(steps):
            x = a * x + b * x**3 + c * x**5
        assert x.min() == pytest.approx(1 - ERROR, abs=1e-3)
        assert x.max() <= 1 + ERROR + 1e-3
