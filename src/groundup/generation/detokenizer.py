"""From the tokens of an answer to its text, piece by piece."""

from collections.abc import Iterable, Sequence

from groundup.tokenizers.loading import Tokenizer

INCOMPLETE = "\N{REPLACEMENT CHARACTER}"  # stands for the bytes of an incomplete character


class Detokenizer:
    """Turns the tokens of one text into text as they arrive, up to the first stop string.

    The bytes of an incomplete character are held back until a later token completes it, and what may be the beginning
    of a stop string until it is one or is not.

    Attributes:
        text: the complete characters so far, including what is held back for a stop string.
        offsets: where each token begins in the text, in characters.
        stopped: whether a stop string was found; neither it nor anything after it is part of the text.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self.text, self.stopped = "", False
        self.offsets: list[int] = []
        self._decode, self._stop = tokenizer.decode, stop
        # The last token whose text is complete, since it may decide how the next one is written, and those after it;
        # and the number of characters of their text that are in `text`.
        self._recent: list[int] = []
        self._known = 0
        self._shown = 0

    def add(self, ids: Iterable[int]) -> str:
        """Read more tokens, and return the text that can be shown now; tokens after a stop string are ignored."""
        for token in ids:
            if self.stopped:
                break
            self.offsets.append(len(self.text))
            self._recent.append(token)
            recent = self._decode(self._recent)
            if not recent.endswith(INCOMPLETE):
                self._append(recent[self._known :])
                self._recent, self._known = [token], len(self._decode([token]))
        return self._show(0 if self.stopped else self._doubtful())

    def finish(self) -> str:
        """Return the text that was held back, now that no more tokens follow."""
        if not self.stopped:
            self._append(self._decode(self._recent)[self._known :])
        return self._show(0)

    def _append(self, text: str) -> None:
        before = len(self.text)
        self.text += text
        places = [self.text.find(stop, max(before - len(stop) + 1, 0)) for stop in self._stop]
        found = [place for place in places if place >= 0]
        if found:
            self.text, self.stopped = self.text[: min(found)], True

    def _show(self, held_back: int) -> str:
        end = max(len(self.text) - held_back, self._shown)
        piece = self.text[self._shown : end]
        self._shown = end
        return piece

    def _doubtful(self) -> int:
        """Return the length of the longest end of the text with which a stop string begins."""
        longest = max(map(len, self._stop), default=1) - 1
        for length in range(min(longest, len(self.text)), 0, -1):
            if any(stop.startswith(self.text[-length:]) for stop in self._stop):
                return length
        return 0
