"""From the tokens of an answer to its text, piece by piece."""

from collections.abc import Iterable, Sequence

from groundup.tokenizers.loading import Tokenizer

INCOMPLETE = "\N{REPLACEMENT CHARACTER}"  # stands for the bytes of an incomplete character


class Detokenizer:
    """Turns the tokens of one text into text as they arrive, up to the first stop string.

    The bytes of an incomplete character are held back until a later token completes it, and what may be the beginning
    of a stop string until it is one or is not.

    Attributes:
        text: the text so far, including what is held back.
        offsets: where each token begins in the text, in characters.
        stopped: whether a stop string was found; it is not part of the text.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self.text, self.stopped = "", False
        self.offsets: list[int] = []
        self._tokenizer, self._stop = tokenizer, [text for text in stop if text]
        self._ids: list[int] = []
        self._shown = 0

    def add(self, ids: Iterable[int]) -> str:
        """Read more tokens, and return the text that can be shown now; tokens after a stop string are ignored."""
        for token in ids:
            if self.stopped:
                break
            self.offsets.append(len(self.text.rstrip(INCOMPLETE)))
            self._ids.append(token)
            self.text = self._tokenizer.decode(self._ids)
            found = [place for place in map(self.text.find, self._stop) if place >= 0]
            if found:
                self.text, self.stopped = self.text[: min(found)], True
        return self._show(self.text if self.stopped else self._certain())

    def finish(self) -> str:
        """Return the text that was held back, now that no more tokens follow."""
        return self._show(self.text)

    def _show(self, text: str) -> str:
        piece = text[self._shown :]
        self._shown += len(piece)
        return piece

    def _certain(self) -> str:
        """Return the text without what further tokens may change."""
        text = self.text.rstrip(INCOMPLETE)
        for length in range(min(max(map(len, self._stop), default=1) - 1, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stop):
                return text[:-length]
        return text
