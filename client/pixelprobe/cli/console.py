"""Consoles that show text from others without acting on it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from pixelprobe_services.common.text import terminal_text

PLAIN_WIDTH = 150
"""Columns of a table that goes to a file or a pipe."""


class SafeConsole(Console):
    """A console that never passes a control character of the printed text on to the terminal.

    Rich's own styles and cursor movements work as usual. This is the second line of defence: text from others
    goes through :func:`safe` as well, which keeps its markup and line breaks from taking effect.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render, with control characters in the text shown as visible escapes."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            if control or text.isprintable() or text == "\n":
                yield segment
            else:
                yield Segment(terminal_text(text, keep_lines=True), style)


def make_console(*, stderr: bool = False) -> Console:
    """Make the console of a command; where it is no terminal, tables get PLAIN_WIDTH columns instead of 80.

    Colours follow ``NO_COLOR`` and ``FORCE_COLOR``.
    """
    console = SafeConsole(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


def safe(text: str) -> str:
    """Text from others, ready for ``console.print``: one line, no control characters, no markup."""
    return escape(terminal_text(text))
