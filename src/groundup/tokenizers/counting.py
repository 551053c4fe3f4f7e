"""Count the words of a corpus, in parts and on all cores, to train a BPE tokenizer."""

from collections import Counter
from collections.abc import Iterable
from functools import partial

from tqdm import tqdm

from groundup.parallel.local import in_parts, map_in_processes
from groundup.tokenizers.pretokenization import compile_pattern, count_part


def count_words(
    texts: Iterable[str], pattern: str, *, progress: bool = False, n_processes: int | None = None
) -> Counter[bytes]:
    """Count each word of `texts`, as UTF-8 bytes.

    Memory holds a few parts of the corpus and its distinct words, so `texts` may be larger than memory. Counts of parts
    are added, so they do not depend on where a part ends or who counted it.

    Args:
        texts: the corpus; no word extends over two texts.
        pattern: a name in PATTERNS or a regular expression.
        progress: show a progress bar on a terminal.
        n_processes: number of processes; None: one per core, unless the corpus is small (see `map_in_processes`).

    Raises:
        BadInput: a text has lone surrogates, or the pattern is not valid or does not match all of a text.
    """
    compile_pattern(pattern)  # refuses a wrong pattern before any process starts
    read = tqdm(texts, desc="words", unit="text", disable=None if progress else True)
    words: Counter[str] = Counter()
    for counts in map_in_processes(partial(count_part, pattern=pattern), in_parts(read), n_processes):
        words.update(counts)
    return Counter({word.encode(): n for word, n in words.items() if word})
