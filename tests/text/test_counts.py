from groundup.text.counts import counted


def test_the_noun_follows_the_number() -> None:
    assert [counted(n, "message") for n in (0, 1, 2, 1000)] == [
        "0 messages", "1 message", "2 messages", "1,000 messages"
    ]  # fmt: skip
    assert counted(1, "entry", "entries") == "1 entry" and counted(2, "entry", "entries") == "2 entries"
