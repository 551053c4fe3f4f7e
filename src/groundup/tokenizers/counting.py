"""Count the words of a corpus of any size, in parts, to train a BPE tokenizer."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from struct import Struct
from typing import IO

from tqdm import tqdm

from groundup.parallel.cluster import DaskConfig, ProcessesConfig, map_parts
from groundup.parallel.local import in_parts, map_in_processes
from groundup.text.documents import messages_of, text_of
from groundup.text.shards import Part, parts_of
from groundup.tokenizers.pretokenization import compile_pattern, count_part

PART_BYTES = 10**6
WORD_BYTES = 200  # memory that a distinct word and its count take, about
HEAD = Struct("<QI")  # a word on the disk: its count and its length, and then its bytes


def count_words(
    texts: Iterable[str],
    pattern: str,
    *,
    max_words: int | None = None,
    progress: bool = False,
    n_processes: int | None = None,
) -> Counter[bytes]:
    """Count each word of `texts`, as UTF-8 bytes.

    Memory holds a few parts of the corpus and its distinct words, so `texts` may be larger than memory. Counts of parts
    are added, so they do not depend on where a part ends or who counted it.

    Args:
        texts: the corpus; no word extends over two texts.
        pattern: a name in PATTERNS or a regular expression.
        max_words: return only this many words, the most frequent ones (ties: the first in the order of their bytes).
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
    return _most_frequent(((word.encode(), n) for word, n in words.items() if word), max_words)


def count_corpus(
    corpus: Path,
    pattern: str,
    folder: Path,
    cluster: ProcessesConfig | DaskConfig,
    *,
    max_words: int | None = None,
    progress: bool = False,
) -> Counter[bytes]:
    """Count each word of a split of a prepared corpus, as `count_words` does.

    If the distinct words need more than `cluster.memory_megabytes`, their counts are sorted on the disk. `max_words`
    bounds the memory that the result needs.

    Args:
        corpus: a file of documents, or a folder of shards.
        pattern: a name in PATTERNS or a regular expression.
        folder: an existing folder for counts that do not fit into memory.
        cluster: where the parts are counted; it does not change the result.
        max_words: see `count_words`.
        progress: show a progress bar on a terminal.

    Raises:
        BadInput: as `count_words` does; a line is not a document; the message names the line.
    """
    compile_pattern(pattern)
    parts = parts_of(corpus.absolute(), PART_BYTES)
    counted = map_parts(partial(_count, pattern), parts, cluster)
    limit = cluster.memory_megabytes * 10**6 // WORD_BYTES
    words: Counter[str] = Counter()
    runs: list[Path] = []
    for counts in tqdm(counted, "words", len(parts), unit="part", disable=None if progress else True):
        words.update(counts)
        if len(words) > limit:
            runs.append(_write_run(words, folder / f"words-{len(runs):04d}"))
            words.clear()
    if not runs:
        return _most_frequent(((word.encode(), n) for word, n in words.items() if word), max_words)
    runs.append(_write_run(words, folder / f"words-{len(runs):04d}"))
    merged = groupby(heapq.merge(*map(_read_run, runs), key=itemgetter(0)), key=itemgetter(0))
    return _most_frequent(((word, sum(n for _, n in same)) for word, same in merged), max_words)


def _count(pattern: str, part: Part) -> Counter[str]:
    """Count the words of a part of a corpus."""
    return count_part(map(text_of, messages_of(part)), pattern)


def _most_frequent(words: Iterable[tuple[bytes, int]], number: int | None) -> Counter[bytes]:
    """Return the most frequent words with their counts; at a tie the first in the order of their bytes."""
    if number is not None:
        words = heapq.nsmallest(number, words, key=lambda pair: (-pair[1], pair[0]))
    return Counter(dict(words))


def _write_run(words: Counter[str], path: Path) -> Path:
    """Write counts, sorted by the words' bytes."""
    with open(path, "wb") as file:
        for word, n in sorted((word.encode(), n) for word, n in words.items() if word):
            file.write(HEAD.pack(n, len(word)) + word)
    return path


def _read_run(path: Path) -> Iterator[tuple[bytes, int]]:
    file: IO[bytes]
    with open(path, "rb") as file:
        while head := file.read(HEAD.size):
            n, length = HEAD.unpack(head)
            yield file.read(length), n
