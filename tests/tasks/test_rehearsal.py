from pathlib import Path

from groundup.checkpoint import load_checkpoint
from groundup.generation.prompts import CHAT_TEMPLATE
from groundup.tasks.rehearsal import encode_rehearsal
from tests.pipelines.transfer.starts import make_published


def test_only_the_model_s_own_answers_and_plain_text_are_rehearsed(tmp_path: Path) -> None:
    make_published(tmp_path)
    checkpoint = load_checkpoint(tmp_path / "published")
    talk = {
        "messages": [
            {"role": role, "content": content}
            for role, content in (
                ("user", "task"), ("assistant", "tea"),
                ("user", "hello"), ("assistant", "low"),
                ("user", "why"), ("assistant", "lower low"),
            )
        ],
        "given": 2,
    }  # fmt: skip
    tokenizer = checkpoint.tokenizer
    of_talk, of_text = encode_rehearsal(checkpoint.prompter(CHAT_TEMPLATE), [talk, {"text": "low tea"}])
    learned = [token for token, kept in zip(*of_talk, strict=True) if kept]
    end = tokenizer.eot_id
    assert learned == [*tokenizer.encode("low"), end, *tokenizer.encode("lower low"), end]
    assert [*of_text.ids] == [end, *tokenizer.encode("low tea")]
    assert [*of_text.learned] == [False, *[True] * (len(of_text.ids) - 1)]
