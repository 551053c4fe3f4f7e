"""The labels of a message, and the probability from which a classifier calls it spam.

This module imports no torch.
"""

LABELS = HAM, SPAM = ("ham", "spam")  # in the order of a classifier's scores
THRESHOLD = 0.5  # a message with at least this probability of spam is spam


def label_of(spam_probability: float) -> str:
    """Return the label for a classifier's probability of spam.

    >>> label_of(0.5)
    'spam'
    """
    return SPAM if spam_probability >= THRESHOLD else HAM
