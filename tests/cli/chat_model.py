"""A tiny chat model: random weights, a tokenizer with two special tokens, a template that is easy to write by hand."""

from typing import Any

import torch

from groundup.checkpoint import Checkpoint, CheckpointConfig
from groundup.generation.chat_template import ChatTemplate
from groundup.generation.prompts import CHAT_TEMPLATE
from groundup.tokenizers.bpe import END_OF_TEXT, BPETokenizer
from tests.tiny import random_decoder

TEMPLATE = ChatTemplate(
    "{% for m in messages %}{{ '<|turn|>' + m.role + ':' + m.content + '<|endoftext|>' }}{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant:{% endif %}"
)


def chat_checkpoint(seed: int = 0, **changes: Any) -> Checkpoint:
    """A checkpoint with random weights; `changes` are changes of the model's config."""
    tokenizer = BPETokenizer.train(["tea and cake and tea"], 262, special_tokens=("<|turn|>", END_OF_TEXT))
    model = random_decoder(seed=seed, vocab_size=tokenizer.vocab_size, **{"context_length": 200, **changes})
    unprintable = [
        i
        for i in range(tokenizer.vocab_size)
        if not tokenizer.decode([i]).isascii() or not tokenizer.decode([i]).isprintable()
    ]
    with torch.no_grad():  # their logits are 0, so that a line of output is a reply
        model.lm_head.weight[unprintable] = 0.0
    config = CheckpointConfig(
        kind="decoder",
        model=model.config,
        tokenizer=tokenizer.fingerprint,
        prompt_style=CHAT_TEMPLATE,
        chat_template=TEMPLATE,
    )
    return Checkpoint(model, tokenizer, config)


def by_hand(*messages: tuple[str, str]) -> str:
    """The text of the template up to the reply."""
    return "".join(f"<|turn|>{role}:{text}<|endoftext|>" for role, text in messages) + "<|turn|>assistant:"
