"""Reading a dump of mysqldump or mariadb-dump, without a database and without running anything of it.

Only `CREATE TABLE` and `INSERT` of the wanted tables are looked into, and of an `INSERT` only literals
are taken: what is anything else is refused. Names may be in backticks, in double quotes or in none, and a
database may stand before a table. The file is mapped, not read: of a dump of any size, only the row in
hand is in memory.
"""

import mmap
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_Row = dict[str, Any]

#: Longest text of a column that is brought across, with room for escapes.
MOST_VALUE = 64 * 1024
MOST_COLUMNS = 64

# No group repeats possessively: CPython 3.11 forgets where such a group began when it fails. No two ways
# lead to one match, so that none of these takes longer than the text is long.
_STRING = rb"'(?:[^'\\]++|\\.|'')*'(?!')"
_COMMENT = rb"--(?=\s|\Z)[^\n]*+|\#[^\n]*+|/\*.*?\*/"
_SKIPPED = re.compile(rb"(?:\s++|" + _COMMENT + rb")*", re.DOTALL)
_QUOTED = _STRING + rb"|\"(?:[^\"\\]++|\\.|\"\")*\"(?!\")|`[^`]*+`|" + _COMMENT + rb"|-|/(?!\*)"
_PIECE = re.compile(rb"[^;'\"`\-#/]++|" + _QUOTED, re.DOTALL)
_PIECE_OF_DEFINITION = re.compile(rb"[^(),'\"`\-#/]++|" + _QUOTED, re.DOTALL)
_DELIMITER = re.compile(rb"DELIMITER\s+(\S+)", re.IGNORECASE)
_DELIMITER_BACK = re.compile(rb"^DELIMITER\s+;\s*$", re.IGNORECASE | re.MULTILINE)
_TABLE = (
    rb"(?:(`[^`]{1,64}`|\"[^\"]{1,64}\"|\w{1,64})\s*+\.\s*+)?"  # of a database
    rb"([`\"]?)(\w++)\2"
)
_CREATE = re.compile(rb"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?" + _TABLE, re.IGNORECASE)
_NO_COLUMN = (
    rb"(?:PRIMARY|UNIQUE|KEY|INDEX|CONSTRAINT|FULLTEXT|SPATIAL|CHECK|FOREIGN|LIKE|PERIOD\s+FOR)\b"
)
_COLUMN = re.compile(rb"([`\"])(\w++)\1|(?!" + _NO_COLUMN + rb")(\w++)", re.IGNORECASE)
_INSERT = re.compile(
    rb"(?:INSERT|REPLACE)\s+(?:IGNORE\s+)?INTO\s+"
    + _TABLE
    + rb"\s*(?:\(([^)]{0,4096})\))?\s*VALUES?",
    re.IGNORECASE,
)
_VALUE = re.compile(
    rb"\s*+(?:(NULL)\b|(TRUE|FALSE)\b|(-?\d{1,20}(?:\.\d{1,20})?)(?![\w.])|(?:_\w{1,16}\s*+)?("
    + _STRING
    + rb"))\s*+",
    re.IGNORECASE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)|''", re.DOTALL)
_WIDE = "It is UTF-16, not UTF-8: convert it, or dump anew."
_BOM = b"\xef\xbb\xbf"
#: What a file begins with that is no text, or none in UTF-8.
_OTHERS = {
    b"\x1f\x8b": "It is compressed with gzip: unpack it first.",
    b"PK\x03\x04": "It is a zip file: unpack it first.",
    b"BZh": "It is compressed with bzip2: unpack it first.",
    b"\xfd7zXZ": "It is compressed with xz: unpack it first.",
    b"\x28\xb5\x2f\xfd": "It is compressed with zstd: unpack it first.",
    b"\xff\xfe": _WIDE,
    b"\xfe\xff": _WIDE,
}
_ESCAPED = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}


class DumpRefused(Exception):
    """The file is no dump that can be trusted; the text says where and why."""


class Dump:
    """The wanted tables of a dump. Use it as a context manager."""

    def __init__(self, path: Path, wanted: Collection[str]) -> None:
        self._path = path
        self._wanted = set(wanted)
        self._columns: dict[str, list[str]] = {}
        self._inserts: dict[str, list[tuple[int, int]]] = {}
        self._database: bytes | None = None

    def __enter__(self) -> Self:
        try:
            with self._path.open("rb") as file:
                self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise DumpRefused(f"{self._path} cannot be read: {error}") from None
        self._refuse_what_is_no_text()
        self._look_through()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._text.close()

    @property
    def tables(self) -> set[str]:
        return set(self._columns) | set(self._inserts)

    def rows(self, table: str) -> Iterator[_Row]:
        """The rows of a table in the order of the dump, as texts, whole numbers and None."""
        for start, end in self._inserts.get(table, []):
            head = _INSERT.match(self._text, start, end)
            if head is None:  # pragma: no cover - it was found by the same pattern
                raise DumpRefused(f"Byte {start}: it is no INSERT.")
            columns = self._columns_of(table, head[4], start)
            at = head.end()
            while True:
                values, at = self._tuple(at, end)
                if len(values) != len(columns):
                    raise DumpRefused(
                        f"Byte {at}: a row of {table} has {len(values)} values for {len(columns)} columns."
                    )
                yield dict(zip(columns, values, strict=True))
                at = self._skip(at, end)
                if at >= end:
                    break
                at = self._expect(b",", at)

    def _refuse_what_is_no_text(self) -> None:
        for start, why in _OTHERS.items():
            if self._text[: len(start)] == start:
                raise DumpRefused(why)
        if b"\0" in self._text[:4]:  # UTF-16 without its mark, or no text at all
            raise DumpRefused("It is no text in UTF-8.")

    def _look_through(self) -> None:
        at, size = len(_BOM) if self._text[: len(_BOM)] == _BOM else 0, len(self._text)
        while (at := self._skip(at, size)) < size:
            if _DELIMITER.match(self._text, at):  # triggers and routines: none of our business
                back = _DELIMITER_BACK.search(self._text, at + 1)
                at = back.end() if back else size
                continue
            end = self._end_of_statement(at, size)
            self._note(at, end)
            at = end + 1

    def _end_of_statement(self, at: int, size: int) -> int:
        start = at
        while at < size and self._text[at] != ord(";"):
            piece = _PIECE.match(self._text, at)
            if piece is None:
                raise DumpRefused(f"Byte {at}: a text or a comment that begins here never ends.")
            at = piece.end()
        if at >= size:
            raise DumpRefused(
                f"Byte {start}: a statement that begins here never ends: half a dump?"
            )
        return at

    def _note(self, start: int, end: int) -> None:
        created = _CREATE.match(self._text, start, end)
        if created is not None and (name := self._wanted_in(created)):
            if name in self._columns:
                raise DumpRefused(f"Byte {start}: {name} is created twice.")
            self._columns[name] = self._columns_created(created.end(), end)
            return
        inserted = _INSERT.match(self._text, start, end)
        if inserted is not None and (name := self._wanted_in(inserted)):
            self._inserts.setdefault(name, []).append((start, end))

    def _wanted_in(self, statement: "re.Match[bytes]") -> str:
        """Which wanted table it is about; empty if none. Those of two databases are not one organisation."""
        database, name = statement[1], statement[3].decode("ascii", "replace")
        if name not in self._wanted:
            return ""
        if database is not None:
            database = database.strip(b'`"')
            if self._database not in (None, database):
                raise DumpRefused(
                    f"Byte {statement.start()}: {name} of another database: dump one of them alone."
                )
            self._database = database
        return name

    def _columns_created(self, at: int, end: int) -> list[str]:
        """The names at the beginnings of the definitions between the parentheses, without those of keys."""
        at, depth = self._skip(at, end), 0
        columns: list[str] = []
        while at < end and len(columns) <= MOST_COLUMNS:
            mark = self._text[at : at + 1]
            if mark in (b"(", b",", b")"):
                depth += (mark == b"(") - (mark == b")")
                at = self._skip(at + 1, end)
                named = _COLUMN.match(self._text, at, end)
                if depth == 1 and mark != b")" and named is not None:
                    columns.append((named[2] or named[3]).decode("ascii", "replace"))
            else:
                piece = _PIECE_OF_DEFINITION.match(self._text, at, end)
                if (
                    piece is None
                ):  # pragma: no cover - the statement's end was found by the same pieces
                    raise DumpRefused(
                        f"Byte {at}: a text or a comment that begins here never ends."
                    )
                at = piece.end()
            if depth == 0:
                break
        return columns

    def _columns_of(self, table: str, listed: bytes | None, at: int) -> list[str]:
        if listed is not None:
            names = [
                each.strip(' `"\n\r\t') for each in listed.decode("ascii", "replace").split(",")
            ]
        else:
            names = self._columns.get(table, [])
        if not names or len(names) > MOST_COLUMNS or len(set(names)) != len(names):
            raise DumpRefused(f"Byte {at}: the columns of {table} are not told, or not once each.")
        return names

    def _tuple(self, at: int, end: int) -> tuple[list[Any], int]:
        at = self._expect(b"(", self._skip(at, end))
        values: list[Any] = []
        while True:
            found = _VALUE.match(self._text, at, end)
            if found is None:
                raise DumpRefused(f"Byte {at}: only plain values are taken, and this is none.")
            if len(values) >= MOST_COLUMNS or found.end() - found.start() > MOST_VALUE:
                raise DumpRefused(f"Byte {at}: a row or a value is too long.")
            values.append(_value(found, at))
            at = found.end()
            if self._text[at : at + 1] == b")":
                return values, at + 1
            at = self._expect(b",", at)

    def _skip(self, at: int, end: int) -> int:
        found = _SKIPPED.match(self._text, at, end)
        return found.end() if found else at

    def _expect(self, what: bytes, at: int) -> int:
        if self._text[at : at + 1] != what:
            raise DumpRefused(f"Byte {at}: {what.decode()!r} should stand here.")
        return at + 1


def _value(found: "re.Match[bytes]", at: int) -> Any:
    null, truth, number, text = found.groups()
    if null is not None:
        return None
    if truth is not None:
        return int(truth.upper() == b"TRUE")
    if number is not None:
        return int(number) if b"." not in number else number.decode()
    try:
        raw = text[1:-1].decode("utf-8")
    except UnicodeDecodeError:
        raise DumpRefused(f"Byte {at}: a text that is not UTF-8. Dump it with utf8mb4.") from None
    return _ESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[1]) if m[1] else "'", raw)
