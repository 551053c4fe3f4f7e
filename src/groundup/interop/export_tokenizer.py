"""Export groundup's tokenizers as Hugging Face's tokenizer.json or as fields of a GGUF file.

For byte-level BPE, those formats list merges, where groundup has the ranks of the merged tokens. Both give
the same ids: merges within the bytes of a token do not depend on the surrounding text, so its last two parts
are always the same pair.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from groundup.errors import BadInput
from groundup.interop.import_tokenizer import CONTROL, READ_OTHERWISE, USER, WORD_SPLITS, check_overlaps
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.likelihood import CONTINUES
from groundup.tokenizers.merges import merge_bytes
from groundup.tokenizers.pretokenization import LLAMA_3, MATCHING, PATTERNS, QWEN_2
from groundup.tokenizers.spelling import spell
from groundup.tokenizers.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

NORMAL = 1  # GGUF's type of a token that is learned from text
BYTE_LEVEL: dict[str, Any] = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
# Oniguruma, Hugging Face's regex engine, has no possessive {1,3}+, and its $ matches the end of a line.
ONIGURUMA = {
    PATTERNS["gpt4"]: (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s+(?!\s|\S)|\s*[\r\n]|\s+(?!\S)|\s"
    )
}
GGUF_CUTS = {PATTERNS["gpt2"]: "gpt-2", PATTERNS["smollm"]: "smollm", LLAMA_3: "llama-bpe", QWEN_2: "qwen2"}


def merges(tokenizer: BPETokenizer) -> list[tuple[bytes, bytes]]:
    """Return the pair of tokens that each longer BPE token is merged from, in the order of the merges.

    "lo" = 256, "low" = 257 -> [(b"l", b"o"), (b"lo", b"w")]. A token that no sequence of merges gives has no
    pair.
    """
    ranks, pairs = dict(tokenizer.ranks), []
    token_of = {rank: token for token, rank in ranks.items()}
    for token in tokenizer.tokens:
        if len(token) > 1 and all(bytes([byte]) in ranks for byte in token):
            rank = ranks.pop(token)  # so that its bytes stop at the two parts before the last merge
            parts = merge_bytes(token, ranks)
            ranks[token] = rank
            if len(parts) == 2:
                pairs.append((token_of[parts[0]], token_of[parts[1]]))
    return pairs


def huggingface_document(
    tokenizer: BPETokenizer, *, ends: bool = False, padding: str | None = None
) -> dict[str, Any]:
    """Return the content of tokenizer.json for a byte-level BPE tokenizer.

    Args:
        tokenizer: the tokenizer to export.
        ends: append the end-of-text token to each text.
        padding: a further special token, which gets the next id.

    Raises:
        BadInput: Hugging Face's library reads the pattern differently, or a token is spelled like a special
            one.
    """
    special = dict(tokenizer.special_tokens)
    if padding is not None and padding not in special:
        special[padding] = tokenizer.vocab_size
    return _document(
        special,
        tokenizer.added_tokens,
        tokenizer.matching,
        pre_tokenizer=_pre_tokenizer(tokenizer.pattern),
        post_processor=_around(
            special, [tokenizer.begin] if tokenizer.begin else [], [tokenizer.end] if ends else []
        ),
        decoder=BYTE_LEVEL,
        model={
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,  # a word that is itself a token gets that token's id
            "vocab": _vocabulary(tokenizer, special | tokenizer.added_tokens),
            "merges": [[spell(left), spell(right)] for left, right in merges(tokenizer)],
        },
    )


def wordpiece_document(tokenizer: WordPieceTokenizer) -> dict[str, Any]:
    """Return the content of tokenizer.json for a WordPiece tokenizer.

    It appends [SEP] to each text, and prepends [CLS] if the model needs it.
    """
    vocabulary = {token: i for i, token in enumerate(tokenizer.tokens)}
    rules, normalization = tokenizer.rules, tokenizer.rules.normalization
    [cut] = [theirs for theirs, ours in WORD_SPLITS.items() if ours == rules.split]
    cls, sep = (tokenizer.tokens[i] for i in (tokenizer.cls_id, tokenizer.sep_id))
    return _document(
        {token: vocabulary[token] for token in SPECIAL_TOKENS},
        {},
        {},
        normalizer={
            "type": "BertNormalizer",
            "clean_text": normalization.clean,
            "handle_chinese_chars": normalization.space_cjk,
            "strip_accents": normalization.strip_accents,
            "lowercase": normalization.lowercase,
        },
        pre_tokenizer={"type": cut},
        post_processor=_around(vocabulary, [cls] if tokenizer.prefix_ids else [], [sep]),
        decoder={"type": "WordPiece", "prefix": CONTINUES, "cleanup": False},
        model={
            "type": "WordPiece",
            "unk_token": tokenizer.tokens[tokenizer.unk_id],
            "continuing_subword_prefix": CONTINUES,
            "max_input_chars_per_word": rules.max_word_chars,
            "vocab": vocabulary,
        },
    )


def _document(
    special: Mapping[str, int],
    added: Mapping[str, int],
    matching: Mapping[str, Collection[str]],
    **steps: Any,
) -> dict[str, Any]:
    whole = sorted({**special, **added}.items(), key=lambda entry: entry[1])
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": i,
                "content": content,
                "single_word": False,
                **{flag: flag in matching.get(content, ()) for flag in MATCHING},
                "special": content in special,
            }
            for content, i in whole
        ],
        "normalizer": None,
        **steps,
    }


def _around(ids: Mapping[str, int], before: Sequence[str], behind: Sequence[str]) -> dict[str, Any] | None:
    """Return a post-processor of tokenizer.json that puts special tokens around each text.

    Of two texts, the second is segment 1. The result is None if there are no tokens to put.
    """
    if not before and not behind:
        return None

    def part(text: str, segment: int) -> list[dict[str, Any]]:
        special = [
            [{"SpecialToken": {"id": token, "type_id": segment}} for token in side]
            for side in (before, behind)
        ]
        return [*special[0], {"Sequence": {"id": text, "type_id": segment}}, *special[1]]

    return {
        "type": "TemplateProcessing",
        "single": part("A", 0),
        "pair": [*part("A", 0), *part("B", 1)],
        "special_tokens": {
            token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in (*before, *behind)
        },
    }


def _pre_tokenizer(pattern: str) -> dict[str, Any]:
    if pattern == PATTERNS["gpt2"]:
        return BYTE_LEVEL
    if pattern == PATTERNS["smollm"]:
        return {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL],
        }
    pattern = ONIGURUMA.get(pattern, pattern)
    found = READ_OTHERWISE.search(pattern)
    if found:
        raise BadInput(
            f"the tokenizer splits text by {pattern!r}, in which Hugging Face's library reads {found[0]!r} "
            f"differently: use one of the patterns {', '.join(PATTERNS)}, or an expression without it."
        )
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, {**BYTE_LEVEL, "use_regex": False}]}


def gguf_fields(tokenizer: BPETokenizer, begin: str) -> dict[str, Any]:
    """Return the fields tokenizer.ggml.* of a GGUF file for a BPE tokenizer.

    Args:
        tokenizer: the tokenizer to export.
        begin: the token that the file names as the beginning of a text; llama.cpp prepends it only if
            `tokenizer.begin` is set.

    Raises:
        BadInput: llama.cpp does not support the pattern or a token, or a token is spelled like a special one.
    """
    if tokenizer.pattern not in GGUF_CUTS:
        raise BadInput(
            f"llama.cpp does not support the tokenizer pattern {tokenizer.pattern!r}; expected gpt2, smollm, or that "
            f"of Llama 3 or Qwen 2: export to Hugging Face instead."
        )
    whole = tokenizer.special_tokens | tokenizer.added_tokens
    check_overlaps([*whole], "the tokenizer")
    taking = [token for token, flags in tokenizer.matching.items() if {"lstrip", "rstrip"} & {*flags}]
    if taking:
        raise BadInput(
            f"the token {taking[0]} also matches the white space around it, which llama.cpp does not support: export "
            f"to Hugging Face instead."
        )
    later = [token for token, flags in tokenizer.matching.items() if "normalized" in flags]
    if any(token in other for other in later for token in whole.keys() - {*later}):
        raise BadInput(
            "an added token contains another one that Hugging Face's library would match first and llama.cpp would "
            "not: export to Hugging Face instead."
        )
    pairs = merges(tokenizer)
    if len(pairs) < sum(len(token) > 1 for token in tokenizer.tokens):
        raise BadInput(
            "the vocabulary has tokens that no merge gives, which llama.cpp would never use: export to Hugging "
            "Face instead."
        )
    ids = _vocabulary(tokenizer, whole)
    kinds = dict.fromkeys(tokenizer.special_tokens.values(), CONTROL)
    kinds |= dict.fromkeys(tokenizer.added_tokens.values(), USER)
    return {
        "model": "gpt2",
        "pre": GGUF_CUTS[tokenizer.pattern],
        "tokens": list(ids),
        "token_type": [kinds.get(i, NORMAL) for i in range(tokenizer.vocab_size)],
        "merges": [f"{spell(left)} {spell(right)}" for left, right in pairs],
        "bos_token_id": tokenizer.special_tokens[begin],
        "eos_token_id": tokenizer.eot_id,
        "add_bos_token": tokenizer.begin is not None,
        "add_space_prefix": False,
    }


def _vocabulary(tokenizer: BPETokenizer, special: dict[str, int]) -> dict[str, int]:
    """Return the vocabulary as printable token -> id, in the order of the ids.

    Special and added tokens are written as they are.
    """
    spelled = {spell(token): rank for token, rank in tokenizer.ranks.items()}
    both = sorted(spelled.keys() & special.keys())
    if both:
        raise BadInput(
            f"the vocabulary learned {', '.join(both)} from text, which is also a special or added token; the file "
            f"has one table for both: train the tokenizer on text without it."
        )
    return dict(sorted({**spelled, **special}.items(), key=lambda entry: entry[1]))
