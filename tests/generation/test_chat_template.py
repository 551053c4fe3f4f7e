from typing import Any

import jinja2
import pytest

from groundup.errors import BadInput
from groundup.generation.chat_template import ChatTemplate

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


def test_a_conversation_by_hand() -> None:
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
def test_texts_equal_those_of_transformers(messages: list[Any], answer: bool) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    [expected], _ = render_jinja_template(
        conversations=[messages], chat_template=CHATML.source, add_generation_prompt=answer
    )
    assert CHATML.render(messages, answer=answer) == expected


@pytest.mark.parametrize(
    "source",
    [
        CHATML.source,
        # a part that the assistant writes, as in SmolLM3; variables set in it are not visible after it
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{% set x = 1 %}{{ m.content }}"
        "{{ eos_token }}{% endgeneration %}{{ x is defined }}{% else %}{{ m.content }}{% endif %}{% endfor %}",
        "{% if tools is not none %}TOOLS {{ tools | length }}{% endif %}{% if documents is not none %}DOCS{% endif %}"
        "{{ tools is defined }} {% if not tools %}none{% endif %}",
        "{{ messages | tojson }}\n{{ messages | tojson(indent=2) }}\n{{ messages[0] | tojson(sort_keys=true) }}"
        "{{ messages | tojson(separators=(',', ':'), ensure_ascii=true) }}{{ '<é&\"' | tojson }}"
        "{{ [1] | tojson(true, 4) }}",
        "{{ strftime_now('%Y') }} {{ strftime_now(format='%Y-%m') }}",
        "{% for m in messages %}{% if loop.index0 == 1 %}{% continue %}{% endif %}{{ m.content }}"
        "{% if loop.index0 == 2 %}{% break %}{% endif %}{% endfor %}",
        "  {% if true %}\n    a\n  {% endif %}\n  {# no #}\n  b\n{% set ns = namespace(n=0) %}\n"
        "{% for m in messages %}\n{% set ns.n = ns.n + 1 %}\n{% endfor %}\n  {{- ns.n -}}  \n\n",
        "{{ bos_token is defined }} {{ eos_token }} {{ bos_token }}|{{ dict(a=1).a }}{{ pad_token is defined }}",
        "{% macro say(m) %}{{ m.role | upper }}: {{ m.content | trim }}{% endmacro %}{{ say(messages[0]) }}"
        "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages[::-1][0].content[1:] }}",
        "{{ (messages[-1].content.split('</think>')[-1]).lstrip('\n') }}"
        "{{ 'x' if enable_thinking is defined else 'y' }}",
    ],
)
def test_all_features_of_templates_render_as_in_transformers(source: str) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    for answer in (False, True):
        [expected], _ = render_jinja_template(
            conversations=[TALK], chat_template=source, add_generation_prompt=answer, eos_token="<|end|>"
        )
        assert ChatTemplate(source, eos_token="<|end|>").render(TALK, answer=answer) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no') }}",
        "{{ bos_token + 'a' }}",
        "{% set ns = namespace(_a=1) %}",
        "{% set ns = namespace() %}{% set ns._a = 1 %}",
        "{{ messages.append(1) }}",
        "{{ tools | length }}",
        "{{ messages | tojson(default=1) }}",
    ],
)
def test_refuses_what_transformers_refuses(source: str) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    with pytest.raises((jinja2.TemplateError, TypeError)):
        render_jinja_template(conversations=[TALK], chat_template=source)
    with pytest.raises(BadInput, match="fails on a conversation of 4 messages"):
        ChatTemplate(source).render(TALK, answer=False)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{% for", "is not valid Jinja"),
        # compiles to an invalid call
        ("{{ raise_exception(message='a', message='b') }}", "is not valid Jinja"),
        # compiles to the unknown name inf
        ("{{ [1e400, messages] }}", "fails on a conversation of 1 messages"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0]['content'] + 1 }}", "fails on a conversation of 1 messages"),
        ("{{ messages.__class__.__mro__ }}", "fails on a conversation"),
        ("{{ messages | length }}", "differently when others follow"),
    ],
)
def test_refuses_templates_that_fail(source: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        ChatTemplate(source).turns(TALK)
