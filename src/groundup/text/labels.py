"""What a message can be, and how sure a classifier must be to call it spam; needs no torch."""

LABELS = HAM, SPAM = ("ham", "spam")  # in the order of a classifier's scores
THRESHOLD = 0.5  # a message whose probability of spam reaches this is spam


def label_of(spam_probability: float) -> str:
    """The label that a classifier's probability of spam stands for.

    >>> label_of(0.5)
    'spam'
    """
    return SPAM if spam_probability >= THRESHOLD else HAM
