"""Convert file names to text that a dataset, a table or a message can hold."""

import unicodedata


def storable_name(name: str) -> str:
    r"""Return a file name as valid Unicode text without invisible characters.

    Bytes that are not UTF-8 are written as `\udcXX`, control characters and characters that change
    the direction of writing as `\xXX` or `\uXXXX`.
    """
    return "".join(_escape(char) if _is_hidden(char) else char for char in name)


def quoted(text: str, length: int = 60) -> str:
    """Return a text in quotation marks for a message, cut to `length` characters."""
    return repr(text if len(text) <= length else text[: length - 1] + "…")


def _escape(char: str) -> str:
    code = ord(char)
    if code < 1 << 8:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def _is_hidden(char: str) -> bool:
    if char in "\u200c\u200d":  # joiners in words of Persian and of Indic scripts
        return False
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
