"""From the tokens of an answer to its text, piece by piece."""

from collections.abc import Iterable, Sequence

from groundup.tokenizers.loading import Tokenizer

INCOMPLETE = "\N{REPLACEMENT CHARACTER}"  # stands for the bytes of an incomplete character
UNFINISHED = 3  # largest number of tokens of an incomplete character: UTF-8 has at most 4 bytes per character


class Detokenizer:
    """Turns the tokens of one text into text as they arrive, up to the first stop string.

    The bytes of an incomplete character are held back until a later token completes it, and what may be the beginning
    of a stop string until it is one or is not. A token takes the same time however many there were before.

    Attributes:
        offsets: where each token begins in the text, in characters.
        stopped: whether a stop string was found; neither it nor anything after it is part of the text.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self.stopped = False
        self.offsets: list[int] = []
        self._decode, self._stop = tokenizer.decode, stop
        # The last tokens, which decide how the next one is written: one whose text is complete, or those that an
        # incomplete character may consist of; and the number of characters of their text that are complete.
        self._recent: list[int] = []
        self._known = 0
        self._shown: list[str] = []
        self._held = ""  # complete characters that are not shown yet, since a stop string may begin with them
        self._length = 0  # number of complete characters so far

    @property
    def text(self) -> str:
        """The complete characters so far, including what is held back for a stop string."""
        return "".join(self._shown) + self._held

    def add(self, ids: Iterable[int]) -> str:
        """Read more tokens, and return the text that can be shown now; tokens after a stop string are ignored."""
        pieces = []
        for token in ids:
            if self.stopped:
                break
            self.offsets.append(self._length)
            if self._decode([token]):  # otherwise it is one that is left out, such as the end of the text
                self._read(token)
                pieces.append(self._show(0 if self.stopped else self._doubtful()))
        return "".join(pieces)

    def finish(self) -> str:
        """Return the text that was held back, now that no more tokens follow."""
        if not self.stopped:
            self._append(self._decode(self._recent)[self._known :])
        return self._show(0)

    def _read(self, token: int) -> None:
        self._recent.append(token)
        text = self._decode(self._recent)
        complete = _complete(text)
        self._append(text[self._known : complete])
        is_complete = complete == len(text)
        # Fewer tokens may decode to other text, but what follows it is the same: UTF-8 synchronises itself.
        self._recent = self._recent[-1 if is_complete else -UNFINISHED :]
        text = self._decode(self._recent)
        self._known = len(text) if is_complete else _complete(text)

    def _append(self, text: str) -> None:
        before = len(self._held)
        self._held += text
        places = [self._held.find(stop, max(before - len(stop) + 1, 0)) for stop in self._stop]
        found = [place for place in places if place >= 0]
        if found:
            self._held, self.stopped = self._held[: min(found)], True
        self._length += len(self._held) - before

    def _show(self, held_back: int) -> str:
        end = len(self._held) - held_back
        piece, self._held = self._held[:end], self._held[end:]
        self._shown.append(piece)
        return piece

    def _doubtful(self) -> int:
        """Return the length of the longest end of the text with which a stop string begins."""
        longest = max(map(len, self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0


def _complete(text: str) -> int:
    """Return the number of characters of a text without the last one, if that may be incomplete."""
    return len(text) - text.endswith(INCOMPLETE)
