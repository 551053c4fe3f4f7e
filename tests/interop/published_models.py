"""Tiny random models as Hugging Face folders, with a tokenizer and, for some, a chat template."""

import json
from pathlib import Path
from typing import Any

import torch

CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def save_published(
    folder: Path, model: Any, chat_template: str | None = CHAT, *, begins: bool = False
) -> None:
    """The model with a byte-level vocabulary of 330 tokens; `begins`: <|im_start|> begins each text."""
    from tokenizers.processors import TemplateProcessing

    from tests.tokenizers.test_published_bpe import reference, save

    model.save_pretrained(folder)
    tokenizer = reference("gpt2")
    if begins:
        begin = "<|im_start|>"
        special = [(begin, tokenizer.token_to_id(begin))]
        tokenizer.post_processor = TemplateProcessing(single=f"{begin} $A", special_tokens=special)
    save(tokenizer, folder)
    config = {"eos_token": "<|im_end|>", "bos_token": "<|im_start|>", "chat_template": chat_template}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({key: value for key, value in config.items() if value is not None})
    )


def random_llama(**changes: Any) -> Any:
    """Grouped queries, tied embeddings, and a context longer than any text in the tests."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    values: dict[str, Any] = {
        "vocab_size": 330,
        "max_position_embeddings": 4096,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    }
    return LlamaForCausalLM(LlamaConfig(**{**values, **changes})).eval()


def random_gpt2() -> Any:
    """A base model: it has no chat template."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 330, "n_positions": 128, "n_layer": 2, "n_head": 2, "n_embd": 16}
    return GPT2LMHeadModel(GPT2Config(**sizes)).eval()


def save_bert(folder: Path) -> None:
    """BERT, which cannot generate text, with a WordPiece vocabulary."""
    from transformers import BertConfig, BertForMaskedLM

    from tests.tokenizers.test_published_wordpiece import TOKENS, save_wordpiece

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    BertForMaskedLM(BertConfig(vocab_size=len(TOKENS), **sizes)).eval().save_pretrained(folder)
    save_wordpiece(folder)
