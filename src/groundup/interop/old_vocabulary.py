"""Translate the older vocabulary files of GPT-2 and BERT into the layout of tokenizer.json, which replaced them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.errors import BadInput
from groundup.interop.json_files import named_tokens, read_json_object
from groundup.tokenizers.bpe import END_OF_TEXT
from groundup.tokenizers.likelihood import CONTINUES

# setting in tokenizer_config.json -> setting of the normalizer in tokenizer.json, which it overrides in transformers
BERT_SETTINGS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def is_old(folder: Path) -> bool:
    """Return whether the folder has the older vocabulary files instead of tokenizer.json."""
    old = any((folder / name).is_file() for name in ("vocab.txt", "merges.txt"))
    return old and not (folder / "tokenizer.json").is_file()


def read_old_files(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the equivalent of tokenizer.json for GPT-2's vocab.json and merges.txt, or for BERT's vocab.txt.

    Raises:
        BadInput: a file is missing or damaged, or the files are those of another model.
    """
    path = folder / "config.json"
    model_type = read_json_object(path).get("model_type") if path.is_file() else None
    name = str(config.get("tokenizer_class") or f"{model_type} of config.json").removesuffix("Fast")
    try:
        if name in ("BertTokenizer", "bert of config.json") and (folder / "vocab.txt").is_file():
            return _old_bert(_lines(folder / "vocab.txt"), config)
        if name in ("GPT2Tokenizer", "gpt2 of config.json"):
            more = folder / "added_tokens.json"
            return _old_gpt2(
                read_json_object(folder / "vocab.json"),
                [line for line in _lines(folder / "merges.txt") if not line.startswith("#version")],
                read_json_object(more) if more.is_file() else {},
                config,
            )
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder}: the vocabulary cannot be read ({error}); download it again.") from error
    raise BadInput(
        f"{folder} has no tokenizer.json, and its vocabulary is that of {name}; expected tokenizer.json, vocab.json "
        f"and merges.txt of GPT-2, or vocab.txt of BERT: save the tokenizer again with transformers."
    )


def _lines(path: Path) -> list[str]:
    """Return the lines of a file; `splitlines` would also split at characters that are tokens."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _old_gpt2(
    vocabulary: dict[str, Any], merges: list[str], more: dict[str, Any], config: Mapping[str, Any]
) -> dict[str, Any]:
    special = {*named_tokens(config), END_OF_TEXT}
    whole = {token: i for token, i in vocabulary.items() if token in special} | more
    byte_level = {"type": "ByteLevel", "add_prefix_space": bool(config.get("add_prefix_space"))}
    begins = {"type": f"add_bos_token {config['add_bos_token']}"} if config.get("add_bos_token") else None
    return {
        "added_tokens": [
            {"id": i, "content": token, "special": token in special} for token, i in whole.items()
        ],
        "pre_tokenizer": byte_level,
        "post_processor": begins,  # `_begin` refuses add_bos_token
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
    }


def _old_bert(tokens: list[str], config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "normalizer": {
            "type": "BertNormalizer" if config.get("do_basic_tokenize", True) else None,
            **{theirs: config[ours] for ours, theirs in BERT_SETTINGS.items() if ours in config},
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "cls": ["[CLS]"], "sep": ["[SEP]"]},
        "decoder": {"type": "WordPiece", "prefix": CONTINUES},
        "model": {
            "type": "WordPiece",
            "unk_token": config.get("unk_token", "[UNK]"),
            "continuing_subword_prefix": CONTINUES,
            "max_input_chars_per_word": 100,
            "vocab": {token: i for i, token in enumerate(tokens)},
        },
    }
