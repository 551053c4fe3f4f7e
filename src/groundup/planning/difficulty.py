"""How hard a corpus is to predict: bits per byte of an n-gram model of bytes, which is counted in a second.

The loss law scales with it, so that what was recorded on one corpus can be applied to another.
"""

import numpy as np
from numpy.typing import NDArray

ORDER = 5  # bytes of context
DISCOUNT = 0.75  # Ney, Essen and Kneser 1994
TRAIN_BYTES, TEST_BYTES = 1_000_000, 100_000

Keys = NDArray[np.uint64]


def difficulty(train: bytes, test: bytes) -> float:
    """Return the bits per byte of an n-gram model that is counted on `train` and measured on `test`.

    Interpolated absolute discounting over contexts of 0 to ORDER bytes, which ends in the uniform distribution:
    p(b | context) = max(c(context, b) - D, 0) / c(context) + D u(context) / c(context) · p(b | shorter context),
    where u is the number of different bytes after the context. At most TRAIN_BYTES and TEST_BYTES are read, so that
    corpora of different size can be compared.

    Args:
        train: UTF-8 text.
        test: UTF-8 text.

    Returns:
        The bits per byte; 8, those of random bytes, if a text is not longer than a context.
    """
    train, test = train[:TRAIN_BYTES], test[:TEST_BYTES]
    if min(len(train), len(test)) <= ORDER:
        return 8.0
    probability = np.full(len(test) - ORDER, 1 / 256)
    for order in range(ORDER + 1):
        contexts, grams = _keys(train, order)
        seen, context_counts = np.unique(contexts, return_counts=True)
        kinds, gram_counts = np.unique(grams, return_counts=True)
        followers = np.bincount(np.searchsorted(seen, kinds >> np.uint64(8)), minlength=len(seen))
        wanted_contexts, wanted = (keys[ORDER - order :] for keys in _keys(test, order))
        total = _look_up(seen, context_counts, wanted_contexts)
        count = _look_up(kinds, gram_counts, wanted)
        unseen = _look_up(seen, followers, wanted_contexts)
        known = total > 0
        backed_off = np.where(known, DISCOUNT * unseen / np.maximum(total, 1), 1.0)
        probability = np.maximum(count - DISCOUNT, 0) / np.maximum(total, 1) + backed_off * probability
    return float(-np.log2(probability).mean())


def _keys(text: bytes, order: int) -> tuple[Keys, Keys]:
    """Return the context of each byte, and context and byte, as numbers; the first `order` bytes are left out."""
    values = np.frombuffer(text, dtype=np.uint8).astype(np.uint64)
    contexts = np.zeros(len(values) - order, dtype=np.uint64)
    for place in range(order):
        contexts = (contexts << np.uint64(8)) | values[place : len(values) - order + place]
    return contexts, (contexts << np.uint64(8)) | values[order:]


def _look_up(keys: Keys, values: NDArray[np.integer], wanted: Keys) -> NDArray[np.integer]:
    """Return the value of each wanted key, 0 for one that is missing; `keys` are sorted."""
    places = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0)
