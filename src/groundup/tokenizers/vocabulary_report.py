"""A description of a vocabulary: metrics for comparison, and a page of text to read."""

from collections.abc import Sequence

from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.loading import Tokenizer

LONGEST = 40
SAMPLES = 5
SAMPLE_CHARS = 400


def describe_vocabulary(tokenizer: BPETokenizer, texts: Sequence[str]) -> tuple[dict[str, float], str]:
    """Describe a vocabulary: metrics on `texts` (held out from the tokenizer's training), and a page of text.

    Returns:
        The metrics and the page. The metrics are `vocab_size`; `val/bytes_per_token`, UTF-8 bytes per token;
        and `val/vocabulary_used`, the share of the vocabulary that occurs in `texts`.
    """
    encoded = tokenizer.encode_batch(texts)
    n_tokens = sum(map(len, encoded))
    used = {i for ids in encoded for i in ids}
    metrics = {
        "vocab_size": tokenizer.vocab_size,
        "val/bytes_per_token": sum(len(text.encode()) for text in texts) / n_tokens if n_tokens else 0.0,
        "val/vocabulary_used": len(used) / tokenizer.vocab_size,
    }
    longest = sorted(tokenizer.tokens, key=lambda token: (-len(token), token))[:LONGEST]
    page = [
        *(f"{name}: {value:.6g}" for name, value in metrics.items()),
        f"pattern: {tokenizer.pattern}",
        f"special tokens: {tokenizer.special_tokens}",
        "",
        f"The {len(longest)} longest tokens",
        *(repr(token.decode("utf-8", errors="replace")) for token in longest),
        "",
        "Held-out text, cut into tokens",
        *(segmentation(tokenizer, text[:SAMPLE_CHARS]) + "\n" for text in texts[:SAMPLES]),
    ]
    return metrics, "\n".join(page)


def segmentation(tokenizer: Tokenizer, text: str) -> str:
    """Return the text with "|" between its tokens, for display."""
    return "|".join(tokenizer.pieces(text))
