from groundup.text.printable import printable


def test_control_characters_are_shown() -> None:
    assert printable("a\x1b[31mred\x07\r\nb") == "a\\x1b[31mred\\x07\\r\nb"
    assert printable("abc\u202ecba") == "abc\\u202ecba"  # would be shown from right to left
    assert printable("two\nlines", keep="") == "two\\nlines"
    printable("half \ud83d").encode("utf-8")


def test_text_of_any_language_is_unchanged() -> None:
    text = "Grüße, 你好, שלום 🙂"
    assert printable(text) == text
