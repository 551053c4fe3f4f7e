from groundup.datasets.talks import FOLLOW_UPS, KINDS, OPENINGS, openings, task_turns
from groundup.verifiable.questions import PAIRS


def test_pairs_of_questions_are_seeded_and_repeat_only_when_all_have_occurred() -> None:
    firsts = sum(len(things) * (len(questions) + len(OPENINGS)) for things, questions in KINDS.values())
    count = firsts * len(FOLLOW_UPS)
    pairs = openings(count + 1, seed=1)
    assert len(set(pairs)) == count and pairs[-1] == pairs[0]
    assert pairs[:5] == openings(5, seed=1) != openings(5, seed=2)


def test_nothing_that_is_asked_in_the_evaluation_is_rehearsed() -> None:
    rehearsed = {question for pair in openings(10_000, seed=1) for question in pair}
    asked = {question for pair in PAIRS for question, _ in pair}
    assert len(asked) == 50 and not rehearsed & asked


def test_solved_tasks_as_messages() -> None:
    rows = [
        {"instruction": "Say the last word.", "input": "red tea", "output": "tea"},
        {"instruction": "Say hello.", "input": "", "output": "hello"},
    ]
    assert task_turns(rows) == [
        {"role": "user", "content": "Say the last word.\n\nred tea"},
        {"role": "assistant", "content": "tea"},
        {"role": "user", "content": "Say hello."},
        {"role": "assistant", "content": "hello"},
    ]


def test_a_question_may_be_about_another_thing_of_the_same_kind() -> None:
    pairs = openings(5 * 10 * 8 * 6, seed=1)
    assert ("Where do bears live?", "And horses?") in pairs
    assert not any(first == "Where do bears live?" and then == "And bread?" for first, then in pairs)
