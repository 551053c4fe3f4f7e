"""Co-occurrence: how often words occur near each other. GloVe fits these counts."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundup.embeddings.vocabulary import Corpus
from groundup.errors import BadInput


@dataclass(frozen=True)
class Cooccurrence:
    """Co-occurrence counts: the Z non-zero cells of a symmetric (V, V) matrix, row by row.

    Attributes:
        rows: (Z,) int64, word ids.
        columns: (Z,) int64, word ids.
        weights: (Z,) float64, the sum of 1 / distance over all pairs of the two words within the window and
            within one document.
    """

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]


def count_cooccurrence(corpus: Corpus, vocab_size: int, window: int) -> Cooccurrence:
    """Count the pairs of words at most `window` apart in a document, in both directions.

    Each pair counts 1 / distance.

    Raises:
        BadInput: no document has two words.
    """
    from scipy.sparse import coo_array, csr_array

    total = csr_array((vocab_size, vocab_size), dtype=np.float64)
    for distance in range(1, window + 1):
        together = corpus.documents[:-distance] == corpus.documents[distance:]
        before, after = corpus.ids[:-distance][together], corpus.ids[distance:][together]
        cells = (np.full(len(before), 1 / distance), (before, after))
        total += coo_array(cells, shape=total.shape).tocsr()
    both = (total + total.T).tocoo()
    if both.nnz == 0:
        raise BadInput(
            "no document has two words of the vocabulary; co-occurrence needs at least two: add longer documents or "
            "lower min_count."
        )
    return Cooccurrence(both.row.astype(np.int64), both.col.astype(np.int64), both.data)
