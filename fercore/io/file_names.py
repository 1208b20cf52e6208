"""Names of files as text that a dataset or a table can store."""

import unicodedata


def storable_name(name: str) -> str:
    r"""Return a file's name as text that can be stored and printed anywhere that takes Unicode.

    Bytes that are not UTF-8 are written as `\udcXX`, control characters and characters that change
    the direction of writing as `\xXX` or `\uXXXX`.
    """
    return "".join(_escaped(char) if _is_hidden(char) else char for char in name)


def quoted(text: str, length: int = 60) -> str:
    """Return a text of any length in quotation marks, for a message: its beginning at most."""
    return repr(text if len(text) <= length else text[: length - 1] + "…")


def _escaped(char: str) -> str:
    code = ord(char)
    if code < 1 << 8:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def _is_hidden(char: str) -> bool:
    if char in "\u200c\u200d":  # parts of words in Persian and in Indic scripts
        return False
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
