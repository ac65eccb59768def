"""Reading a table that a stranger has sent, a .csv or an .xlsx of bounded size; and writing one for spreadsheets."""

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, BinaryIO, NamedTuple

from django.utils.translation import gettext as _

from accounts.refusals import Invalid, TooLarge
from accounts.validation import invalid

MAX_BYTES = 1024 * 1024
MAX_ROWS = 500
_MAX_CELL = 2000
_MAX_PARTS = 200
#: What a spreadsheet takes for the beginning of a formula.
_FORMULA = frozenset("=+-@\t\r")
#: Of a workbook: what it unpacks to, and its elements, of which a cell with a text has up to four. They are what
#: reading it costs.
_MAX_UNPACKED = 4 * 1024 * 1024
_MAX_ELEMENTS = 40_000
#: Reading a sheet costs more than any other element.
_MAX_SHEETS = 200
_SHEET = re.compile(rb"<(?:[\w.-]+:)?sheet\s")
#: So far down a table is read, empty rows included.
_LAST_ROW = 10_000
_ROW = re.compile(rb"""<(?:[\w.-]+:)?row\s(?:[^>]*\s)?r\s*=\s*["'](\d{1,9})["']""")


class Cells(NamedTuple):
    """A row that is not empty: its number in the table, and its texts; None for what is none, or too long."""

    number: int
    texts: tuple[str | None, ...]


def read_table(file: BinaryIO, name: str, *, columns: int) -> list[Cells]:
    """The rows with their first `columns`. What is no table is Invalid; a larger one TooLarge."""
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise TooLarge(_("The table is larger than %(limit)d KiB.") % {"limit": MAX_BYTES // 1024})
    workbook = name.lower().endswith(".xlsx")
    return list(_of_workbook(data, columns) if workbook else _of_text(data, columns))


def require_few(rows: list[Any]) -> None:
    if len(rows) > MAX_ROWS:
        raise TooLarge(_("The table has more than %(limit)d rows.") % {"limit": MAX_ROWS})
    if not rows:
        raise invalid("file", _("The table is empty."))


def _of_text(data: bytes, columns: int) -> Iterator[Cells]:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise _no_table()
    if "\0" in text:
        raise _no_table()
    try:
        yield from _rows(csv.reader(io.StringIO(text, newline="")), columns)
    except csv.Error:
        raise _no_table() from None


def _of_workbook(data: bytes, columns: int) -> Iterator[Cells]:
    """Of the first sheet. The archive is looked through before anything parses it."""
    # Only here: no start of a server should wait for it.
    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_parts(archive)
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        try:
            sheet = book.worksheets[0]
            # What a sheet says of its own size may be a lie that costs a million empty cells.
            sheet.reset_dimensions()
            yield from _rows(sheet.iter_rows(max_col=columns, values_only=True), columns)
        finally:
            book.close()
    except (Invalid, TooLarge):
        raise
    except Exception:  # noqa: BLE001 - whatever a forged workbook makes its reader stumble over
        raise _no_table() from None


def _check_parts(archive: zipfile.ZipFile) -> None:
    """No reader unpacks more of a part than the directory says, so that the sum of these is the bound."""
    parts = archive.infolist()
    if len(parts) > _MAX_PARTS or sum(part.file_size for part in parts) > _MAX_UNPACKED:
        raise TooLarge(_("The table is larger than it looks."))
    elements = sheets = 0
    for part in parts:
        text = archive.read(part).replace(b"\0", b"")
        # No workbook declares a type; one that does wants entities, or files of ours.
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise _no_table()
        elements += text.count(b"<") - text.count(b"</")
        if elements > _MAX_ELEMENTS:
            raise TooLarge(_("The table has too many cells: send the columns that are asked for."))
        sheets += len(_SHEET.findall(text))
        numbers = [int(number) for number in _ROW.findall(text)]
        # Of rows with one number a reader keeps the first, and says nothing of the others.
        if sheets > _MAX_SHEETS or any(last >= next_ for last, next_ in pairwise(numbers)):
            raise _no_table()


def _rows(rows: Iterable[Any], columns: int) -> Iterator[Cells]:
    """Those that are not empty: one more than may be, and a heading."""
    found = 0
    for number, row in enumerate(rows, 1):
        if number > _LAST_ROW:
            said = _("The table goes on below row %(limit)d, which is the last one that is read.")
            raise TooLarge(said % {"limit": _LAST_ROW})
        if any(cell not in (None, "") for cell in row):
            yield Cells(number, tuple(_text_of(cell) for cell in row[:columns]))
            found += 1
            if found == MAX_ROWS + 2:
                return


def _text_of(cell: Any) -> str | None:
    """A number is its digits; a text has a length and nothing unprintable; anything else is none."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return None
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if hasattr(cell, "isoformat"):
        cell = cell.isoformat()
    text = str(cell).strip() if isinstance(cell, str | int) else None
    return text if text is not None and len(text) <= _MAX_CELL and text.isprintable() else None


def _no_table() -> Invalid:
    return invalid("file", _("This is no table: send an .xlsx or a .csv."))


def as_csv(heading: list[str], rows: Iterable[list[str]]) -> bytes:
    """A table that spreadsheets open as it is: nothing in it is taken for a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(heading)
    for row in rows:
        writer.writerow([safe_cell(cell) for cell in row])
    return text.getvalue().encode("utf-8-sig")


def safe_cell(text: str) -> str:
    return f"'{text}" if text[:1] in _FORMULA else text


def plain_cell(text: str) -> str:
    """What `safe_cell` has made safe."""
    return text[1:] if text[:1] == "'" and text[1:2] in _FORMULA else text
