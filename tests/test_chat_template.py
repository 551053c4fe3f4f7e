from typing import Any

import pytest

from groundup.chat_template import ChatTemplate
from groundup.errors import BadInput

CHATML = ChatTemplate(
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nHelpful.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TALK = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "See you."},
]


def test_by_hand() -> None:
    system = "<|im_start|>system\nHelpful.<|im_end|>\n"
    assert CHATML.render(TALK[:1], answer=True) == (
        f"{system}<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert CHATML.turns(TALK) == [
        (f"{system}<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", False),
        ("Hello!<|im_end|>\n", True),
        ("<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n", False),
        ("See you.<|im_end|>\n", True),
    ]
    assert CHATML.turns(TALK[:3])[-1] == ("<|im_start|>user\nBye<|im_end|>\n", False)


@pytest.mark.parametrize("messages", [TALK[:1], TALK, [{"role": "system", "content": 'Say "ä"'}, *TALK[:3]]])
@pytest.mark.parametrize("answer", [True, False])
def test_texts_are_those_of_transformers(messages: list[Any], answer: bool) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    [expected], _ = render_jinja_template(
        conversations=[messages], chat_template=CHATML.source, add_generation_prompt=answer
    )
    assert CHATML.render(messages, answer=answer) == expected


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{% for", "is no Jinja"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0]['content'] + 1 }}", "fails on a conversation of 1 messages"),
        ("{{ messages.__class__.__mro__ }}", "fails on a conversation"),
        ("{{ messages | length }}", "otherwise when others follow"),
    ],
)
def test_templates_that_fail(source: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        ChatTemplate(source).turns(TALK)
