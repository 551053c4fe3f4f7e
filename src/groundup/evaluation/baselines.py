"""Baselines for spam: four classical text classifiers of scikit-learn, fitted on the training split only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

NAMES = ("majority", "naive_bayes", "logistic_regression", "char_svm")
TITLES = {
    "majority": "majority class",
    "naive_bayes": "naive Bayes, words",
    "logistic_regression": "logistic regression, words",
    "char_svm": "linear SVM, characters 2–5",
}


@dataclass(frozen=True)
class Predictions:
    """A spam baseline's predictions on n test texts.

    Attributes:
        pred: (n,), 1 = spam.
        ranking: (n,), higher = more like spam, for ROC and precision-recall curves.
        prob: (n,), probability of spam; None if the method gives no probabilities (the SVM).
    """

    pred: npt.NDArray[np.int64]
    ranking: npt.NDArray[np.float64]
    prob: npt.NDArray[np.float64] | None


def pipeline(name: str) -> Any:
    """Make the scikit-learn pipeline of a spam baseline, not yet fitted; `name` is one of NAMES."""
    from sklearn.dummy import DummyClassifier
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    steps = {
        "majority": lambda: (CountVectorizer(), DummyClassifier(strategy="most_frequent")),
        "naive_bayes": lambda: (CountVectorizer(), MultinomialNB()),
        "logistic_regression": lambda: (CountVectorizer(), LogisticRegression(max_iter=1000)),
        "char_svm": lambda: (
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5)),
            LinearSVC(random_state=0),
        ),
    }
    return make_pipeline(*steps[name]())


def fit_predict(name: str, texts: Sequence[str], labels: Sequence[int], test: Sequence[str]) -> Predictions:
    """Fit a spam baseline and predict the test texts, with the method's own threshold.

    Args:
        name: one of NAMES.
        texts: the training texts.
        labels: of the training texts, 1 = spam.
        test: the texts to predict.
    """
    model = pipeline(name).fit(list(texts), np.asarray(labels))
    pred = model.predict(list(test)).astype(np.int64)
    if name == "char_svm":
        return Predictions(pred, model.decision_function(list(test)), None)
    prob = model.predict_proba(list(test))[:, list(model.classes_).index(1)]
    return Predictions(pred, prob, prob)
