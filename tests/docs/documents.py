"""What README and docs show: ``console`` and ``python`` blocks as commands, and files of ``toml`` blocks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    *sorted(path for path in (ROOT / "docs").rglob("*.md")),
    ROOT / "CONTRIBUTING.md",
    ROOT / "README.md",
)
"""README last: its first block ends with `pixelprobe down`."""

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Shown:
    """A command as a document shows it, with continuation lines; a Python block is given to ``python``."""

    document: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    @property
    def words(self) -> list[str]:
        """The words as a shell splits them, without comments."""
        return shlex.split(self.text, comments=True)


def blocks(document: Path, language: str) -> Iterator[tuple[int, str]]:
    """The line at which each block of ``language`` begins, and its text."""
    text = document.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        if found[1] == language:
            yield text.count("\n", 0, found.start()) + 2, found[2]


def commands() -> list[Shown]:
    """All commands, in the documents' order."""
    found = []
    for document in DOCUMENTS:
        # Later blocks of a document continue its first one, which imports the library.
        programs = [
            Shown(document, line, f"python - <<'END'\nimport pixelprobe\n{text}END\n")
            for line, text in blocks(document, "python")
        ]
        typed = []
        for first, text in blocks(document, "console"):
            lines = iter(enumerate(text.splitlines(), first))
            for number, line in lines:
                if not line.startswith("$ "):
                    continue
                command = line.removeprefix("$ ")
                while command.endswith("\\"):
                    command = command[:-1] + next(lines)[1].strip()
                typed.append(Shown(document, number, command))
        found.extend(sorted(programs + typed, key=lambda shown: shown.line))
    return found


def files() -> dict[str, str]:
    """The ``toml`` blocks whose first line is ``# NAME.toml``, by that name."""
    found = {}
    for document in DOCUMENTS:
        for _, text in blocks(document, "toml"):
            name = re.match(r"# ([\w-]+\.toml)\n", text)
            if name:
                found[name[1]] = text
    return found
