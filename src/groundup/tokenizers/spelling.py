"""Byte-level tokens as printable text, one character per byte, as in GPT-2's own files.

A byte that is printable in Latin-1 and not a space is written as itself. The other bytes are written as the
characters from U+0100 on: b" the\\n" -> "ĠtheĊ".
"""

_SHOWN = [*range(33, 127), *range(161, 173), *range(174, 256)]
_HIDDEN = [byte for byte in range(256) if byte not in _SHOWN]
_CHARACTERS = {byte: chr(byte) for byte in _SHOWN} | {byte: chr(256 + i) for i, byte in enumerate(_HIDDEN)}
_BYTES = {character: byte for byte, character in _CHARACTERS.items()}


def spell(token: bytes) -> str:
    """Return a byte-level token as printable characters."""
    return "".join(_CHARACTERS[byte] for byte in token)


def unspell(text: str) -> bytes:
    """Return the token that `spell` wrote.

    Raises:
        KeyError: a character represents no byte.
    """
    return bytes(_BYTES[character] for character in text)
