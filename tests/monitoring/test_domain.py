import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from groundup.monitoring.domain import PENALTY, auc, embedding_kernel, ngram_kernel, out_of_fold_scores
from tests.monitoring.test_permutation import members, permuted, stratified_folds


def test_the_scores_are_those_of_ridge_regressions_fitted_without_the_fold() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(47, 6))
    window = np.arange(47) >= 30
    folds = stratified_folds(window, rng)
    member = permuted(window, folds, 5, rng)
    scores = out_of_fold_scores(features @ features.T, member, folds)
    centred = features - features.mean(axis=0)
    for row, found in zip(member, scores, strict=True):
        model = Ridge(alpha=PENALTY, fit_intercept=False)
        expected = cross_val_predict(model, centred, row - window.mean(), cv=PredefinedSplit(folds))
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_the_area_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    member = members(rng, 12, 40)
    scores = np.round(rng.normal(size=member.shape), 1)
    expected = [roc_auc_score(row, values) for row, values in zip(member, scores, strict=True)]
    np.testing.assert_allclose(auc(scores, member), expected)


def test_kernels() -> None:
    texts = ["see you at eight", "See you at 8!", "call now to win", "call now to WIN"]
    kernel = ngram_kernel(texts)
    np.testing.assert_allclose(np.diag(kernel), 1)
    assert kernel[2, 3] > kernel[0, 1] > kernel[0, 2]
    assert not ngram_kernel(["ab", "cd"]).any()  # nothing in common
    embeddings = np.random.default_rng(3).normal(size=(9, 4))
    scaled = (embeddings - embeddings.mean(axis=0)) / embeddings.std(axis=0)
    norms = np.linalg.norm(scaled, axis=1)
    np.testing.assert_allclose(
        embedding_kernel(embeddings) * 4, cosine_similarity(scaled) * np.outer(norms, norms)
    )
    constant = np.hstack([embeddings, np.ones((9, 4))])  # counts as a channel without information
    np.testing.assert_allclose(embedding_kernel(constant) * 2, embedding_kernel(embeddings))


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_the_area_grows_with_the_distance_of_the_samples(shift: float) -> None:
    rng = np.random.default_rng(4)
    window = np.arange(200) >= 120
    embeddings = rng.normal(size=(200, 5)) + shift * window[:, None]
    folds = stratified_folds(window, rng)
    member = permuted(window, folds, 99, rng)
    areas = auc(out_of_fold_scores(embedding_kernel(embeddings), member, folds), member)
    assert abs(areas[1:].mean() - 0.5) < 0.03
    assert (areas[0] > areas[1:].max()) == bool(shift)
