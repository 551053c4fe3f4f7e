"""Import tokenizers from files of OpenAI, Hugging Face and llama.cpp (GGUF) as groundup's own classes."""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import regex

from groundup.errors import BadInput
from groundup.interop.json_files import eos_token_ids, named_tokens, read_json_object, read_settings
from groundup.interop.old_vocabulary import BERT_SETTINGS, is_old, read_old_files
from groundup.tokenizers.bpe import END_OF_TEXT, BPETokenizer
from groundup.tokenizers.likelihood import CONTINUES
from groundup.tokenizers.normalization import Normalization, WordSplit
from groundup.tokenizers.pretokenization import LLAMA_3, MATCHING, QWEN_2, compile_pattern, split_words
from groundup.tokenizers.spelling import unspell
from groundup.tokenizers.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer, WordRules

CONTROL, USER = 3, 4  # GGUF's types of tokens that are not learned from text
UNKNOWN = 2  # GGUF's type of the unknown token, which byte-level text never needs
# Hugging Face's pre-tokenizers for WordPiece -> groundup's
WORD_SPLITS: dict[str, WordSplit] = {"BertPreTokenizer": "bert", "WhitespaceSplit": "whitespace"}
# Syntax that Oniguruma, Hugging Face's regex engine, reads differently from `regex`: ends of lines, possessive {1,3}+,
# nested sets, named sets, flags, and all escapes except those of classes and signs.
READ_OTHERWISE = regex.compile(
    r"\{[\d,]+\}\+|(?<!\\)\$|(?<![\[\\])\^|&&|--|\|\||~~|\[:|\(\?(?!i?:|<?[=!])|(?<!\\)(?:\\\\)*+\K\\[^sSdDwWpPnrtfv\W_]"
)


def gpt2_tokenizer(vocab_bpe: Path, encoder_json: Path) -> BPETokenizer:
    """Return GPT-2's tokenizer (256 bytes, 50,000 merges, <|endoftext|> = 50256) from OpenAI's two files.

    The files are read here and not by `tiktoken.load`, which caches a copy of every file in the temporary folder and
    returns it even if the file has changed.

    Args:
        vocab_bpe: a title line, then two tokens per line, in the order in which they were merged: the ranks.
        encoder_json: token -> id. Ids must follow the ranks, or merging by rank would differ from GPT-2.

    Raises:
        BadInput: a file is missing or damaged, or the two files do not belong together.
    """
    try:
        _, *lines = Path(vocab_bpe).read_text(encoding="utf-8").splitlines()
        ids = json.loads(Path(encoder_json).read_text(encoding="utf-8"))
        merged = [b"".join(unspell(half) for half in line.split()) for line in lines if line]
        ranks = {unspell(token): i for token, i in ids.items() if token != END_OF_TEXT}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise BadInput(
            f"{vocab_bpe} and {encoder_json} cannot be read as GPT-2's vocabulary ({type(error).__name__}: "
            f"{error}); expected OpenAI's vocab.bpe and encoder.json: fetch them again."
        ) from error
    if [ranks.get(token) for token in merged] != list(range(256, len(ranks))):
        raise BadInput(
            f"the {len(ranks)} tokens of {encoder_json} are not 256 bytes and the {len(merged)} merges of "
            f"{vocab_bpe} in their order; expected two files of one vocabulary: fetch both again."
        )
    return BPETokenizer(ranks, "gpt2")


def huggingface_tokenizer(folder: Path) -> BPETokenizer | WordPieceTokenizer:
    """Load the tokenizer of a Hugging Face folder.

    It is in tokenizer.json, and its end-of-text token in tokenizer_config.json, else in config.json or
    generation_config.json. It must be byte-level BPE, or WordPiece with BERT's normalization. Folders with
    GPT-2's or BERT's older vocabulary files instead of tokenizer.json are read too.

    Raises:
        BadInput: a file is missing or damaged, or the tokenizer has an option that groundup's does not
            support.
    """
    folder = Path(folder)
    config, old = read_settings(folder), is_old(folder)
    found = read_old_files(folder, config) if old else read_json_object(folder / "tokenizer.json")
    model, where = found.get("model") or {}, str(folder / "tokenizer.json")
    kind = model.get("type") or _kind(model)
    if kind == "WordPiece":
        return _wordpiece(found, config, where)
    if kind != "BPE" or found.get("normalizer"):
        raise BadInput(
            f"{where} is of type {kind!r} with normalizer {found.get('normalizer')!r}; expected "
            f"byte-level BPE without one, or BERT's WordPiece: choose another model."
        )
    if (found.get("decoder") or {}).get("type") != "ByteLevel":
        raise BadInput(
            f"{where} has the decoder {found.get('decoder')}; expected the type ByteLevel, as in byte-level BPE: "
            f"choose another model."
        )
    special, added, matching = _added_tokens(found, config, where)
    end = config.get("eos_token")
    end = end["content"] if isinstance(end, dict) else end
    if end is None:  # GPT-2's own folder names it only in config.json
        wanted = [
            i for name in ("config.json", "generation_config.json") for i in eos_token_ids(folder / name)
        ]
        texts = {i: text for text, i in special.items()}
        end = next((texts[i] for i in wanted if i in texts), None)
    if end is None and old:
        end = END_OF_TEXT
    vocabulary = {
        token: i for token, i in model["vocab"].items() if token not in special and token not in added
    }
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    joined = {*map("".join, merges)}
    both = [
        token
        for token in (*special, *added)
        if token in joined or (token in model["vocab"] and len(token) == 1)  # a spelled byte
    ]
    if both:
        raise BadInput(
            f"{where} has the added token {both[0]!r}, which is also a byte or the result of a merge; expected added "
            f"tokens that are only matched as a whole: choose another model."
        )
    tokenizer = _tokenizer(
        vocabulary,
        merges,
        _pattern(found.get("pre_tokenizer"), where),
        special,
        end,
        where,
        # if there is a tokenizer.json, transformers ignores add_bos_token of tokenizer_config.json
        _begin(found.get("post_processor"), end, where),
        added,
        matching,
    )
    _check_options(model, vocabulary, merges, tokenizer.pattern, where)
    return tokenizer


def _kind(model: Mapping[str, Any]) -> str | None:
    """Return the type of a tokenizer model by its fields, for files that do not name it.

    GPT-2's and BERT's files are among them. The result is None for other types.
    """
    if "merges" in model:
        return "BPE"
    return "WordPiece" if "max_input_chars_per_word" in model else None


def _added_tokens(
    found: Mapping[str, Any], config: Mapping[str, Any], where: str
) -> tuple[dict[str, int], dict[str, int], dict[str, list[str]]]:
    """Read the special tokens and the other added tokens of a Hugging Face tokenizer.

    tokenizer_config.json may have more tokens than tokenizer.json, and names special ones. If both describe a
    token, it is matched as in tokenizer_config.json, and it is special if it is so in either file, as in
    transformers.

    Returns:
        The special tokens (text -> id), the other added tokens (text -> id), and how each is matched (see
        AddedTokens).
    """
    entries = {token["content"]: token for token in found.get("added_tokens") or []}
    for i, token in (config.get("added_tokens_decoder") or {}).items():
        before = entries.get(token["content"], {})
        either = bool(token.get("special") or before.get("special"))
        entries[token["content"]] = {"id": int(i), **before, **token, "special": either}
    alone = [content for content, token in entries.items() if token.get("single_word")]
    if alone:
        raise BadInput(
            f"{where} has the token {alone[0]!r} with single_word, which is matched only as a separate word; expected "
            f"tokens that are matched everywhere: choose another model."
        )
    named = named_tokens(config)
    special = {
        content: token["id"] for content, token in entries.items() if token.get("special") or content in named
    }
    added = {content: token["id"] for content, token in entries.items() if content not in special}
    matching = {content: [flag for flag in MATCHING if token.get(flag)] for content, token in entries.items()}
    return special, added, matching


def _check_options(
    model: Mapping[str, Any],
    vocabulary: Mapping[str, int],
    merges: Sequence[Sequence[str]],
    pattern: str,
    where: str,
) -> None:
    """Raise BadInput if a field of a Hugging Face BPE model would give other ids than groundup's tokenizer.

    If every byte is in the vocabulary, nothing is unknown, so unk_token, fuse_unk and byte_fallback have no
    effect. A token that no merge gives is used for a whole word if ignore_merges is set; groundup's tokenizer
    always does that.
    """
    given = {one + other for one, other in merges}
    odd = [
        token for token in vocabulary if len(token) > 1 and token not in given and _is_word(token, pattern)
    ]
    missing = sum(len(token) == 1 for token in vocabulary) < 256  # single characters spell bytes
    wrong = [
        name for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout") if model.get(name)
    ]
    wrong += [name for name in ("unk_token", "byte_fallback") if model.get(name) and missing]
    wrong += ["ignore_merges"] if odd and not model.get("ignore_merges") else []
    if wrong:
        raise BadInput(
            f"{where} has {' and '.join(f'{name} {model.get(name)!r}' for name in wrong)}, which gives other ids with "
            f"this vocabulary; expected byte-level BPE without that: choose another model."
        )


def _is_word(token: str, pattern: str) -> bool:
    """Return whether the pattern leaves the spelled token in one piece, as a single word."""
    text = unspell(token).decode("utf-8", errors="replace")
    return split_words(compile_pattern(pattern), text) == [text]


def _begin(post_processor: Mapping[str, Any] | None, end: str | None, where: str) -> str | None:
    """Return the token that the post-processor of a tokenizer.json puts before each text, or None.

    The post-processor may also append `end`.

    Raises:
        BadInput: it adds other tokens.
    """
    steps = (post_processor or {}).get("processors") or [post_processor or {}]
    # ByteLevel only changes offsets
    steps = [step for step in steps if step.get("type") not in (None, "ByteLevel")]
    if not steps:
        return None
    if [step["type"] for step in steps] == ["BertProcessing"] and steps[0]["sep"][0] == end:
        return str(steps[0]["cls"][0])
    if [step["type"] for step in steps] == ["TemplateProcessing"]:
        parts = [part.get("SpecialToken", {"id": None})["id"] for part in steps[0]["single"]]
        before, behind = parts[: parts.index(None)], parts[parts.index(None) + 1 :]
        if len(before) <= 1 and behind in ([], [end]):
            return before[0] if before else None
    raise BadInput(
        f"{where} adds tokens to each text by {steps}; expected TemplateProcessing with at most one token before the "
        f"text, and at most {end!r} after it: choose another model."
    )


def _wordpiece(found: Mapping[str, Any], config: Mapping[str, Any], where: str) -> WordPieceTokenizer:
    """Read WordPiece from BERT's tokenizer.json, or from one that groundup exported."""
    defaults = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    model, steps = found["model"], {**defaults, **(found.get("normalizer") or {})}
    cut: str = (found.get("pre_tokenizer") or {}).get("type", "")
    shown = {
        "normalizer": steps.get("type"),
        "pre_tokenizer": cut,
        "unk_token": model.get("unk_token"),
        "continuing_subword_prefix": model.get("continuing_subword_prefix"),
    }
    known = cut if cut in WORD_SPLITS else " or ".join(WORD_SPLITS)
    expected = dict(zip(shown, ("BertNormalizer", known, "[UNK]", CONTINUES), strict=True))
    if shown != expected:
        raise BadInput(f"{where} is WordPiece with {shown}; expected {expected}: choose another model.")
    others = {token["content"] for token in found.get("added_tokens") or []} - set(SPECIAL_TOKENS)
    if others:
        raise BadInput(
            f"{where} has the added tokens {', '.join(sorted(others))}; expected WordPiece with only "
            f"{', '.join(SPECIAL_TOKENS)}: choose another model."
        )
    is_bert = str(config.get("tokenizer_class", "BertTokenizer")).startswith("BertTokenizer")
    for ours, theirs in BERT_SETTINGS.items():
        if is_bert and ours in config and config[ours] != steps[theirs]:
            raise BadInput(
                f"{where} has {theirs} {steps[theirs]!r}, and tokenizer_config.json {ours} {config[ours]!r}; expected "
                f"the same: save the tokenizer again with transformers."
            )
    accents = steps["strip_accents"]
    rules = WordRules(
        Normalization(
            clean=steps["clean_text"],
            space_cjk=steps["handle_chinese_chars"],
            strip_accents=steps["lowercase"] if accents is None else accents,  # as in `tokenizers`
            lowercase=steps["lowercase"],
        ),
        WORD_SPLITS[cut],
        model["max_input_chars_per_word"],
    )
    vocabulary: dict[str, int] = model["vocab"]
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise BadInput(f"{where}: the ids have gaps or repeat; expected 0, 1, 2, ...: download it again.")
    begin = _begin(found.get("post_processor"), "[SEP]", where)
    if begin not in (None, "[CLS]"):
        raise BadInput(f"{where} begins texts with {begin}; expected [CLS] or nothing: choose another model.")
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    return WordPieceTokenizer(tokens, rules, begins=begin is not None)


def gguf_tokenizer(facts: Mapping[str, Any], where: str) -> BPETokenizer:
    """Load the byte-level BPE tokenizer of a GGUF file.

    Args:
        facts: the fields of the file.
        where: the file, for messages.

    Raises:
        BadInput: the tokenizer is of another kind, or has an option that groundup's does not support.
    """
    names = {"gpt-2": "gpt2", "smollm": "smollm", "llama-bpe": LLAMA_3, "qwen2": QWEN_2}
    kind, cut = facts.get("tokenizer.ggml.model"), facts.get("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or cut not in names:
        raise BadInput(
            f"{where} has a tokenizer of kind {kind!r} with the pattern {cut!r}; expected gpt2 (byte-level BPE) "
            f"and one of {', '.join(names)}: choose another model."
        )
    tokens, kinds = facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.token_type"]
    special, added = (
        {token: i for i, (token, k) in enumerate(zip(tokens, kinds, strict=True)) if k in wanted}
        for wanted in ((CONTROL, UNKNOWN), (USER,))
    )
    check_overlaps([*special, *added], where)
    end = tokens[int(facts["tokenizer.ggml.eos_token_id"])]
    vocabulary = {token: i for i, token in enumerate(tokens) if token not in special and token not in added}
    merges = [merge.split(" ") for merge in facts["tokenizer.ggml.merges"]]
    begin = facts.get("tokenizer.ggml.bos_token_id")
    if not facts.get("tokenizer.ggml.add_bos_token", cut == "llama-bpe"):  # as llama.cpp reads it
        begin = None
    before = None if begin is None else tokens[int(begin)]
    # llama.cpp sets ignore_merges for Llama 3 only
    _check_options({"ignore_merges": cut == "llama-bpe"}, vocabulary, merges, names[cut], where)
    return _tokenizer(vocabulary, merges, names[cut], special, end, where, before, added)


def check_overlaps(tokens: Sequence[str], where: str) -> None:
    """Raise BadInput if llama.cpp could find other added tokens in a text than groundup does.

    llama.cpp searches the whole text for the longest token, then for the next longest. groundup and Hugging
    Face's library go through the text and take the longest token at each place. The results are the same
    unless one token ends as another begins. Two tokens that repeat the same character cause no problem.
    """
    for pair in combinations(tokens, 2):
        if len(set("".join(pair))) == 1:
            continue
        for one, other in (pair, pair[::-1]):
            if other[0] in one and any(one.endswith(other[:n]) for n in range(1, min(len(one), len(other)))):
                raise BadInput(
                    f"{where} has the added tokens {one!r} and {other!r}, of which one ends as the other begins; "
                    f"llama.cpp matches them in another order than other programs: choose another model."
                )


def _tokenizer(
    vocabulary: Mapping[str, int],
    merges: Sequence[Sequence[str]],
    pattern: str,
    special: Mapping[str, int],
    end: str | None,
    where: str,
    begin: str | None,
    added: Mapping[str, int] | None = None,
    matching: Mapping[str, Sequence[str]] | None = None,
) -> BPETokenizer:
    """Make the BPE tokenizer of an imported vocabulary.

    Its ids must be in the order of the merges, so that an id is also the rank.
    """
    if end is None or end not in special:
        raise BadInput(
            f"{where} ends texts with {end!r}, which is not one of its special tokens; expected one of them: choose "
            f"another model."
        )
    try:
        ranks = {unspell(token): i for token, i in vocabulary.items()}
        joined = [ranks[unspell(one) + unspell(other)] for one, other in merges]
    except KeyError as error:
        raise BadInput(
            f"{where} is not valid byte-level BPE ({error}); expected tokens spelled in its byte characters, and every "
            f"merge to give a token: download it again."
        ) from error
    if joined != sorted(joined):  # a token may be listed with every pair that makes it, as in Llama 3
        raise BadInput(
            f"{where} merges tokens in an order other than that of their ids; expected the same order: choose another "
            f"model."
        )
    return BPETokenizer(
        ranks,
        pattern,
        dict(special),
        end,
        drops_bytes=True,
        begin=begin,
        added_tokens=added,
        matching=matching,
    )


def _pattern(pre_tokenizer: Mapping[str, Any] | None, where: str) -> str:
    """Return the pattern (or its name) that splits text as the pre-tokenizer of a tokenizer.json does."""
    steps = (pre_tokenizer or {}).get("pretokenizers") or [pre_tokenizer or {}]
    shown = [{key: value for key, value in step.items() if key not in ("trim_offsets",)} for step in steps]
    bytes_only = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    gpt2 = {**bytes_only, "use_regex": True}
    shown = [{**gpt2, **step} if step.get("type") == "ByteLevel" else step for step in shown]
    if shown == [gpt2]:
        return "gpt2"
    if shown == [{"type": "Digits", "individual_digits": True}, gpt2]:
        return "smollm"
    if len(shown) == 2 and shown[1] == bytes_only and shown[0].get("type") == "Split":
        split = shown[0]
        expression = (split.get("pattern") or {}).get("Regex")
        if expression and (found := READ_OTHERWISE.search(expression)):
            raise BadInput(
                f"{where} splits text by {expression!r}, in which Hugging Face's library reads {found[0]!r} "
                f"differently from groundup; expected an expression without it: choose another model."
            )
        if expression and split.get("behavior") == "Isolated" and not split.get("invert"):
            return str(expression)
    raise BadInput(
        f"{where} splits text by {shown}; expected GPT-2's pattern, with or without separate digits, or one regular "
        f"expression: choose another model."
    )
