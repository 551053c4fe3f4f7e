"""Vocabularies that others trained and published, in the same class as our own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.errors import BadInput
from groundup.tokenizers.bpe import END_OF_TEXT, BPETokenizer
from groundup.tokenizers.likelihood import CONTINUES
from groundup.tokenizers.normalization import Normalization, WordSplit
from groundup.tokenizers.spelling import unspell
from groundup.tokenizers.wordpiece import WordPieceTokenizer, WordRules

CONTROL, USER = 3, 4  # kinds of token in GGUF that are not learned from text
# The published expressions of models whose GGUF only names them.
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace("{1,3}", "")
# What WordPiece may cut texts into words with, by the names of Hugging Face's library.
WORD_SPLITS: dict[str, WordSplit] = {"BertPreTokenizer": "bert", "WhitespaceSplit": "whitespace"}


def gpt2_tokenizer(vocab_bpe: Path, encoder_json: Path) -> BPETokenizer:
    """Return GPT-2's tokenizer (256 bytes, 50,000 merges, <|endoftext|> = 50256) from OpenAI's two files.

    vocab_bpe: a title line, then two tokens a line, in the order they were merged: the ranks.
    encoder_json: token -> id. Ids must follow the ranks, or joining by rank would not be GPT-2's joining.

    The files are read here and not by `tiktoken.load`, which keeps a copy of every file in the temporary
    folder and gives that back even when the file has changed.

    Raises:
        BadInput: a file is missing, damaged, or the two do not belong together.
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
    """The tokenizer of a Hugging Face folder: tokenizer.json, and of tokenizer_config.json what ends a text.

    Byte-level BPE, or WordPiece with BERT's steps before it.

    Raises:
        BadInput: a file is missing or damaged, or the tokenizer does something that ours does not.
    """
    folder = Path(folder)
    found, config = (read_json_object(folder / name) for name in ("tokenizer.json", "tokenizer_config.json"))
    model, where = found.get("model") or {}, str(folder / "tokenizer.json")
    if model.get("type") == "WordPiece":
        return _wordpiece(found, where)
    if model.get("type") != "BPE" or found.get("normalizer"):
        raise BadInput(
            f"{where} is of type {model.get('type')!r} with normalizer {found.get('normalizer')!r}; expected "
            f"byte-level BPE without one, or BERT's WordPiece: choose another model."
        )
    special = {token["content"]: token["id"] for token in found.get("added_tokens", [])}
    end = config.get("eos_token")
    end = end["content"] if isinstance(end, dict) else end
    if end is None:  # GPT-2's own folder says it in config.json alone
        wanted = [
            i for name in ("config.json", "generation_config.json") for i in eos_token_ids(folder / name)
        ]
        texts = {i: text for text, i in special.items()}
        end = next((texts[i] for i in wanted if i in texts), None)
    vocabulary = {token: i for token, i in model["vocab"].items() if token not in special}
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    tokenizer = _tokenizer(
        vocabulary,
        merges,
        _pattern(found.get("pre_tokenizer"), where),
        special,
        end,
        where,
        # beside a tokenizer.json, transformers does not read add_bos_token of tokenizer_config.json
        _begin(found.get("post_processor"), end, where),
    )
    _check_options(model, vocabulary, merges, where)
    return tokenizer


def _check_options(
    model: Mapping[str, Any], vocabulary: Mapping[str, int], merges: Sequence[Sequence[str]], where: str
) -> None:
    """Raise BadInput where a field of the BPE model would give other ids than ours.

    With every byte in the vocabulary nothing is unknown, so that unk_token, fuse_unk and byte_fallback do nothing. A
    token that no merge gives is one where it is a whole word, if ignore_merges is set; so it is with ours.
    """
    given = {one + other for one, other in merges}
    odd = [token for token in vocabulary if len(token) > 1 and token not in given]
    missing = sum(len(token) == 1 for token in vocabulary) < 256  # characters that stand for bytes
    wrong = [
        name for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout") if model.get(name)
    ]
    wrong += [name for name in ("unk_token", "byte_fallback") if model.get(name) and missing]
    wrong += ["ignore_merges"] if odd and not model.get("ignore_merges") else []
    if wrong:
        raise BadInput(
            f"{where} has {' and '.join(f'{name} {model.get(name)!r}' for name in wrong)}, which gives other ids with "
            f"this vocabulary; groundup reads byte-level BPE without: choose another model."
        )


def _begin(post_processor: Mapping[str, Any] | None, end: str | None, where: str) -> str | None:
    """The special token that the post-processor of a tokenizer.json puts before each text; behind may stand `end`."""
    steps = (post_processor or {}).get("processors") or [post_processor or {}]
    steps = [
        step for step in steps if step.get("type") not in (None, "ByteLevel")
    ]  # which moves offsets alone
    if not steps:
        return None
    if [step["type"] for step in steps] == ["TemplateProcessing"]:
        parts = [part.get("SpecialToken", {"id": None})["id"] for part in steps[0]["single"]]
        before, behind = parts[: parts.index(None)], parts[parts.index(None) + 1 :]
        if len(before) <= 1 and behind in ([], [end]):
            return before[0] if before else None
    raise BadInput(
        f"{where} puts tokens around each text by {steps}; groundup knows TemplateProcessing with at most one token "
        f"before the text, and at most {end!r} behind: choose another model."
    )


def _wordpiece(found: Mapping[str, Any], where: str) -> WordPieceTokenizer:
    """What stands in a tokenizer.json of BERT's, or of ours."""
    model, steps = found["model"], found.get("normalizer") or {}
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
    accents = steps["strip_accents"]
    rules = WordRules(
        Normalization(
            clean=steps["clean_text"],
            space_cjk=steps["handle_chinese_chars"],
            strip_accents=steps["lowercase"] if accents is None else accents,  # as the library reads it
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
    """The byte-level BPE inside a GGUF file; `facts` are its fields.

    Raises:
        BadInput: there is none, or it does something that ours does not.
    """
    names = {"gpt-2": "gpt2", "smollm": "smollm", "llama-bpe": LLAMA_3, "qwen2": QWEN_2}
    kind, cut = facts.get("tokenizer.ggml.model"), facts.get("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or cut not in names:
        raise BadInput(
            f"{where} has a tokenizer of kind {kind!r} that cuts texts like {cut!r}; expected gpt2 (byte-level BPE) "
            f"and one of {', '.join(names)}: choose another model."
        )
    tokens, kinds = facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.token_type"]
    special = {
        token: i for i, (token, k) in enumerate(zip(tokens, kinds, strict=True)) if k in (CONTROL, USER)
    }
    end = tokens[int(facts["tokenizer.ggml.eos_token_id"])]
    vocabulary = {token: i for i, token in enumerate(tokens) if token not in special}
    merges = [merge.split(" ") for merge in facts["tokenizer.ggml.merges"]]
    begin = facts.get("tokenizer.ggml.bos_token_id")
    if not facts.get("tokenizer.ggml.add_bos_token", cut == "llama-bpe"):  # as llama.cpp reads it
        begin = None
    return _tokenizer(
        vocabulary, merges, names[cut], special, end, where, None if begin is None else tokens[int(begin)]
    )


def _tokenizer(
    vocabulary: Mapping[str, int],
    merges: Sequence[Sequence[str]],
    pattern: str,
    special: Mapping[str, int],
    end: str | None,
    where: str,
    begin: str | None,
) -> BPETokenizer:
    """Check that the ids of joined tokens are in the order of their joining: then the id is the rank."""
    if end is None or end not in special:
        raise BadInput(
            f"{where} ends texts with {end!r}, which is no special token; expected one of its own."
        )
    try:
        ranks = {unspell(token): i for token, i in vocabulary.items()}
        joined = [ranks[unspell(one) + unspell(other)] for one, other in merges]
    except KeyError as error:
        raise BadInput(
            f"{where} is not sound byte-level BPE: {error} is no byte, or a merge gives no token; download it again."
        ) from error
    if joined != sorted(joined):  # a token may be listed with every pair that makes it, as in Llama 3
        raise BadInput(
            f"{where} joins tokens in an order that is not that of their ids; groundup knows vocabularies in which it "
            f"is: choose another model."
        )
    return BPETokenizer(ranks, pattern, dict(special), end, drops_bytes=True, begin=begin)


def _pattern(pre_tokenizer: Mapping[str, Any] | None, where: str) -> str:
    """The expression that cuts texts as the pre-tokenizer of a tokenizer.json does."""
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
        if expression and split.get("behavior") == "Isolated" and not split.get("invert"):
            return str(expression)
    raise BadInput(
        f"{where} cuts texts by {shown}; groundup knows GPT-2's way, digits apart, or one expression: choose another "
        f"model."
    )


def eos_token_ids(path: Path) -> list[int]:
    """The tokens that end a text by a config.json or generation_config.json: none, one or several.

    Raises:
        BadInput: the file is damaged, or holds something else there.
    """
    found = read_json_object(path).get("eos_token_id") if path.is_file() else None
    ids = found if isinstance(found, list) else [] if found is None else [found]
    if not all(type(i) is int for i in ids):
        raise BadInput(
            f"{path} has eos_token_id {found!r}; expected an id or a list of ids: download it again."
        )
    return ids


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BadInput: the file is missing, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; expected the folder of a Hugging Face model.") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); expected a file.") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON ({error}); expected that of a Hugging Face model.") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path} is not a JSON object; expected that of a Hugging Face model.")
    return found
