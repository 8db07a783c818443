"""A table of a TOML file, read key by key: whatever is off names the file, the key and what was expected."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pixelprobe.campaigns.spec_values import SpecError

_SHOWN = 60


class Keys:
    """Takes the values out of a table one after another; :meth:`finish` refuses those that nobody took.

    Every method that takes a key raises SpecError where its value is not what is expected.
    """

    def __init__(self, file: Path, table: Mapping[str, Any], prefix: str = "") -> None:
        self._file = file
        self._table = table
        self._prefix = prefix
        self._known: list[str] = []

    @classmethod
    def of_file(cls, path: Path) -> Keys:
        """The whole of a TOML file.

        Raises:
            SpecError: it cannot be read, or is no TOML.
        """
        try:
            with path.open("rb") as file:
                table = tomllib.load(file)
        except OSError as error:
            raise SpecError(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise SpecError(f"{path}: is not UTF-8 text") from error
        except tomllib.TOMLDecodeError as error:
            raise SpecError(f"{path}: is not TOML: {error}") from error
        return cls(path, table)

    def text(
        self, key: str, default: str | None = None, *, choices: Iterable[str] = (), expected: str = "a text"
    ) -> str:
        """A string, one of ``choices`` if there are any; it must be there unless there is a ``default``."""
        allowed = list(choices)
        wanted = f"one of {_listed(allowed)}" if allowed else expected
        value = self._take(key, wanted, default)
        if not isinstance(value, str) or not value.strip() or (allowed and value not in allowed):
            raise self.error(key, wanted, value)
        return value

    def optional_text(self, key: str, expected: str) -> str | None:
        """A string, or None where it is missing."""
        return self.text(key, expected=expected) if self.has(key) else None

    def integer(self, key: str, default: int | None, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``; it must be there unless there is a ``default``."""
        value = self._take(key, f"a whole number from {low} to {high}", default)
        return self._checked_integer(key, value, low, high)

    def optional_integer(self, key: str, default: int | None, low: int, high: int) -> int | None:
        """Like :meth:`integer`, or ``default`` where it is missing."""
        return self.integer(key, None, low, high) if self.has(key) else default

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """A number from ``low`` to ``high``."""
        wanted = f"a number from {low:g} to {high:g}"
        value = self._take(key, wanted, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.error(key, wanted, value)
        return float(value)

    def interval(
        self, key: str, default: tuple[float, float], low: float, high: float
    ) -> tuple[float, float]:
        """Two numbers from ``low`` to ``high``, the second not under the first."""
        wanted = f"two numbers from {low:g} to {high:g}, the smaller one first"
        value = self._take(key, wanted, list(default))
        numbers = isinstance(value, list) and all(
            isinstance(item, int | float) and not isinstance(item, bool) for item in value
        )
        if not numbers or len(value) != 2 or not low <= value[0] <= value[1] <= high:
            raise self.error(key, wanted, value)
        return float(value[0]), float(value[1])

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._take(key, "true or false", default)
        if not isinstance(value, bool):
            raise self.error(key, "true or false", value)
        return value

    def flag_or_text(self, key: str, default: bool, choices: Iterable[str]) -> bool | str:
        """True, false or one of ``choices``."""
        allowed = list(choices)
        wanted = f"true, false or one of {_listed(allowed)}"
        value = self._take(key, wanted, default)
        if isinstance(value, bool) or (isinstance(value, str) and value in allowed):
            return value
        raise self.error(key, wanted, value)

    def texts(
        self,
        key: str,
        default: tuple[str, ...],
        *,
        choices: Iterable[str] = (),
        expected: str = "texts",
        optional: bool = False,
    ) -> tuple[str, ...]:
        """A list of different strings, at least one.

        Without a ``default`` it must be there, unless it is ``optional``.
        """
        if optional and not self.has(key):
            return default
        allowed = list(choices)
        wanted = f"a list of {f'some of {_listed(allowed)}' if allowed else expected}"
        values = self._list(key, wanted, default)
        for index, value in enumerate(values):
            if not isinstance(value, str) or not value.strip() or (allowed and value not in allowed):
                raise self.error(
                    f"{key}[{index}]", f"one of {_listed(allowed)}" if allowed else "a text", value
                )
        return tuple(values)

    def integers(self, key: str, default: tuple[int, ...], low: int, high: int) -> tuple[int, ...]:
        """A list of different whole numbers from ``low`` to ``high``, at least one."""
        values = self._list(key, f"a list of whole numbers from {low} to {high}", default)
        return tuple(
            self._checked_integer(f"{key}[{index}]", value, low, high) for index, value in enumerate(values)
        )

    def texts_or_integers(self, key: str, default: tuple[str, ...], expected: str) -> tuple[str, ...]:
        """A list of different strings or whole numbers from 0, at least one; numbers come back as strings."""
        values = self._list(key, f"a list of {expected}", default)
        for index, value in enumerate(values):
            is_index = isinstance(value, int) and not isinstance(value, bool) and value >= 0
            if not is_index and not (isinstance(value, str) and value.strip()):
                raise self.error(f"{key}[{index}]", expected, value)
        return tuple(str(value) for value in values)

    def table(self, key: str) -> Keys:
        """A table of the file, empty where it is missing."""
        value = self._take(key, f"a table, [{self._prefix}{key}]", {})
        if not isinstance(value, dict):
            raise self.error(key, f"a table, [{self._prefix}{key}]", value)
        return Keys(self._file, value, f"{self._prefix}{key}.")

    def tables(self, key: str) -> list[Keys]:
        """An array of tables, empty where it is missing."""
        wanted = f"tables, each [[{self._prefix}{key}]]"
        value = self._take(key, wanted, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, wanted, value)
        return [Keys(self._file, item, f"{self._prefix}{key}[{index}].") for index, item in enumerate(value)]

    def finish(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self._table:
            if key not in self._known:
                close = difflib.get_close_matches(key, self._known, 1)
                hint = f"did you mean {close[0]}?" if close else f"expected {_listed(sorted(self._known))}"
                raise SpecError(f"{self._file}: {self._prefix}{key}: unknown key; {hint}")

    def error(self, key: str, expected: str, value: object) -> SpecError:
        """The error for a value that is off."""
        return SpecError(f"{self._file}: {self._prefix}{key}: expected {expected}, got {_shown(value)}")

    def has(self, key: str) -> bool:
        self._known.append(key)
        return key in self._table

    def _take(self, key: str, expected: str, default: object) -> Any:
        self._known.append(key)
        if key in self._table:
            return self._table[key]
        if default is None:
            raise SpecError(f"{self._file}: {self._prefix}{key}: missing; expected {expected}")
        return default

    def _list(self, key: str, expected: str, default: tuple[Any, ...]) -> list[Any]:
        value = self._take(key, expected, list(default) or None)
        if not isinstance(value, list) or not value:
            raise self.error(key, expected, value)
        seen: list[Any] = []
        for index, item in enumerate(value):
            if item in seen:
                raise self.error(f"{key}[{index}]", "each value once", item)
            seen.append(item)
        return value

    def _checked_integer(self, key: str, value: Any, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(key, f"a whole number from {low} to {high}", value)
        return value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _shown(value: object) -> str:
    """A value as TOML spells it, more or less."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
