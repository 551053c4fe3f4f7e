"""Domain classifiers: can a classifier distinguish the messages of the window from those of the reference?

The classifier is a ridge regression of the membership on features of the message (Ben-David et al. 2007 use such a
classifier to measure how far two domains are apart; Lopez-Paz and Oquab 2017 make it a test). Its area under the ROC
curve on messages that it was not fitted on is 0.5 if the samples do not differ. Ridge regression is used because its
cross-validated predictions have a closed form: all permutations are then refitted in one matrix product.

Legend: N messages, R rows of memberships; see `permutation`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from groundup.monitoring.permutation import FOLDS, Array, Members

NGRAMS = (2, 4)  # characters
PENALTY = 1.0  # of the ridge regression, for kernels whose diagonal is about 1


def ngram_kernel(texts: Sequence[str]) -> Array:
    """Return the cosines (N, N) between the texts as tf-idf vectors of character n-grams."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        analyzer="char", ngram_range=NGRAMS, lowercase=False, min_df=2, sublinear_tf=True
    )
    try:
        vectors = vectorizer.fit_transform(texts)
    except ValueError:  # no n-gram occurs twice
        return np.zeros((len(texts), len(texts)))
    kernel: Array = (vectors @ vectors.T).toarray()
    return kernel


def embedding_kernel(embeddings: npt.NDArray[np.floating]) -> Array:
    """Return the scalar products (N, N) of standardised embeddings (N, C), divided by C."""
    spread = embeddings.std(axis=0)
    standardised = (embeddings - embeddings.mean(axis=0)) / np.where(spread > 0, spread, 1)
    kernel: Array = (standardised @ standardised.T).astype(np.float64) / embeddings.shape[1]
    return kernel


def out_of_fold_scores(kernel: Array, member: Members, folds: npt.NDArray[np.int64]) -> Array:
    """Return the score of each message by a classifier that was fitted without the message's fold, (R, N).

    With H = K (K + penalty I)^-1, the score of fold F by a regression on the other folds is
    y_F - (I - H_FF)^-1 (y - H y)_F (the block form of the leave-one-out formula, Hastie et al. 2009, eq. 7.64).
    """
    from scipy.linalg import solve

    centred = kernel - kernel.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    identity = np.eye(len(centred))
    hat = identity - PENALTY * solve(centred + PENALTY * identity, identity, assume_a="pos")
    targets = member - member[0].mean()
    residuals = targets - targets @ hat
    scores = np.empty_like(residuals)
    for fold in range(FOLDS):
        inside = np.flatnonzero(folds == fold)
        left = identity[: len(inside), : len(inside)] - hat[np.ix_(inside, inside)]
        scores[:, inside] = targets[:, inside] - solve(left, residuals[:, inside].T, assume_a="pos").T
    return scores


def auc(scores: Array, member: Members) -> Array:
    """Return the area under the ROC curve, (R,): how often a window's message scores higher than a reference's."""
    from scipy.stats import rankdata

    n = np.count_nonzero(member[0])
    ranks = rankdata(scores, axis=1)
    area: Array = (np.sum(ranks * member, axis=1) - n * (n + 1) / 2) / (n * (member.shape[1] - n))
    return area
