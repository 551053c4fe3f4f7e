from groundup.text.documents import text_of


def test_one_message_per_line() -> None:
    assert text_of(["hi", "", "how are you"]) == "hi\n\nhow are you"
    assert text_of(["a book,\nwhole"]) == "a book,\nwhole"
