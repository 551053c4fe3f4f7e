"""Baselines for spam: four classical text classifiers, as scikit-learn pipelines fitted on the training split only."""

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
    """A baseline's predictions on the test texts.

    pred (n,): 1 = spam. ranking (n,): higher = more like spam, for ROC and PR curves. prob (n,): probability of spam,
    None if the method gives no probabilities (the SVM).
    """

    pred: npt.NDArray[np.int64]
    ranking: npt.NDArray[np.float64]
    prob: npt.NDArray[np.float64] | None


def pipeline(name: str) -> Any:
    """The unfitted scikit-learn pipeline of a baseline."""
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
    """Fit a baseline on texts and labels (1 = spam) and predict `test`, with the method's own threshold."""
    model = pipeline(name).fit(list(texts), np.asarray(labels))
    pred = model.predict(list(test)).astype(np.int64)
    if name == "char_svm":
        return Predictions(pred, model.decision_function(list(test)), None)
    prob = model.predict_proba(list(test))[:, list(model.classes_).index(1)]
    return Predictions(pred, prob, prob)
