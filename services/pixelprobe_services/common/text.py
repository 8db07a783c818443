r"""Cleaning text that comes from others before it reaches a terminal, a log, a file name or a CSV file.

Display names, labels, target names and error messages are chosen by other people, other services and served
models. One function for each place where such text ends up:

* :func:`terminal_text` for terminals and text logs,
* :func:`file_name` for one component of a path,
* :func:`csv_cell` for a cell that a spreadsheet may open.

Example:
    >>> terminal_text("cat\x1b[2J\u202egnp.exe")
    'cat\\x1b[2J\\u202egnp.exe'
    >>> file_name("../../etc/passwd")
    '_.._etc_passwd'
    >>> csv_cell("=cmd|' /C calc'!A0")
    "'=cmd|' /C calc'!A0"
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

MAX_NAME_BYTES = 120
"""Longest file name that is made of others' text, in UTF-8; leaves room for suffixes below the usual 255."""

_KEPT_FORMAT = "\u200c\u200d"
"""Joiners, which Persian, Indic scripts and emoji need; other format characters are escaped."""

_LINE_BREAKS = "\n\r\v\f\x85\u2028\u2029"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def terminal_text(text: str, *, keep_lines: bool = False) -> str:
    r"""Show text on one line without anything that a terminal acts on.

    Line breaks and tabs become spaces. Control characters (ESC and the C1 set among them), format characters
    such as bidi overrides, and lone surrogates become visible escapes: ``\x1b``, ``\u202e``; a byte of a file
    name that is not UTF-8 becomes that byte, ``\xff``.

    Args:
        text: from anywhere.
        keep_lines: leave newlines as they are, for texts of several lines such as tracebacks.
    """
    return "".join(map(_kept_newline if keep_lines else _shown, text))


def file_name(text: str, default: str = "unnamed") -> str:
    """Make one path component of text: letters, digits, ``_``, ``.`` and ``-``; others become ``_``.

    The result holds no separator, does not begin with a dot, is never empty, and has at most MAX_NAME_BYTES
    bytes; what is longer is cut and ends in a digest of the whole. Different texts may give the same name.

    Args:
        text: from anywhere.
        default: for text of which nothing remains.
    """
    name = re.sub(r"[^\w.-]", "_", text).strip(".") or default
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    cut = name.encode()[: MAX_NAME_BYTES - len(digest) - 1].decode("utf-8", "ignore")
    return f"{cut}-{digest}"


def csv_cell(value: object) -> object:
    """Make a value safe for a spreadsheet; anything but text is returned as it is.

    Text that a spreadsheet would take for a formula gets a leading apostrophe, and control characters become
    visible escapes as in :func:`terminal_text`. Line breaks stay: CSV quotes them.
    """
    if not isinstance(value, str):
        return value
    prefix = "'" if value.startswith(_FORMULA_STARTS) else ""
    return prefix + terminal_text(value, keep_lines=True)


def _kept_newline(character: str) -> str:
    return character if character == "\n" else _shown(character)


def _shown(character: str) -> str:
    if " " <= character <= "~":
        return character
    if character in _LINE_BREAKS or character == "\t":
        return " "
    kind = unicodedata.category(character)
    if kind not in ("Cc", "Cf", "Cs") or character in _KEPT_FORMAT:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte that is not UTF-8 ("surrogateescape")
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
