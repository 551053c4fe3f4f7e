"""The text of a page as a reader sees it."""

import html
import re

INLINE = re.compile(r"</?(?:a|b|code|span|wbr)\b[^>]*>")
GLUED = re.compile(r"\S*[a-z\d)%][.:;!?][A-Z]\w*")  # the end of a sentence without a space after it


def text_of(page: str) -> str:
    """Return the text of the body; block elements separate words, inline elements do not."""
    body = page.partition("<body>")[2]
    return re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]+>", " ", INLINE.sub("", body))))
