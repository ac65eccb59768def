"""Reading the first column of a table that a stranger has sent: a .csv or an .xlsx, of bounded size."""

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

from django.utils.translation import gettext as _

from accounts.refusals import Invalid, TooLarge
from accounts.validation import invalid

MAX_BYTES = 1024 * 1024
MAX_ROWS = 500
_MAX_CELL = 254
_MAX_PARTS = 200
_MAX_UNPACKED = 16 * 1024 * 1024
#: What a first row may say that is no account.
_HEADINGS = {
    *("account", "phone", "mobile", "email", "e-mail", "mail", "user", "username", "user name"),
    *("账号", "帐号", "手机", "手机号", "邮箱", "用户", "用户名"),
}


class Row(NamedTuple):
    """A row that is not empty: its number in the table, and who stands in it; empty for what nobody can be."""

    number: int
    account: str


def read_accounts(file: BinaryIO, name: str) -> list[Row]:
    """The first column, without a heading. What is no such table is Invalid; a larger one TooLarge."""
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise TooLarge(_("The table is larger than %(limit)d KiB.") % {"limit": MAX_BYTES // 1024})
    found = list(_of_workbook(data) if name.lower().endswith(".xlsx") else _of_text(data))
    if found and found[0].account.casefold() in _HEADINGS:
        found = found[1:]
    if len(found) > MAX_ROWS:
        raise TooLarge(_("The table has more than %(limit)d rows.") % {"limit": MAX_ROWS})
    if not found:
        raise invalid("file", _("The table is empty."))
    return found


def _of_text(data: bytes) -> Iterator[Row]:
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
        yield from _first_cells(csv.reader(io.StringIO(text, newline="")))
    except csv.Error:
        raise _no_table() from None


def _of_workbook(data: bytes) -> Iterator[Row]:
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
            yield from _first_cells(
                sheet.iter_rows(max_col=1, max_row=MAX_ROWS + 2, values_only=True)
            )
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
    for part in parts:
        text = archive.read(part).replace(b"\0", b"")
        # No workbook declares a type; one that does wants entities, or files of ours.
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise _no_table()


def _first_cells(rows: Iterable[Any]) -> Iterator[Row]:
    for number, row in enumerate(islice(rows, MAX_ROWS + 2), 1):
        if any(cell not in (None, "") for cell in row):
            yield Row(number, _text_of(row[0]))


def _text_of(cell: Any) -> str:
    """A number is a phone; a text has a length and nothing unprintable; anything else is no account."""
    if isinstance(cell, bool):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    text = str(cell).strip() if isinstance(cell, str | int) else ""
    return text if len(text) <= _MAX_CELL and text.isprintable() else ""


def _no_table() -> Invalid:
    return invalid("file", _("This is no table: send an .xlsx or a .csv with one account a row."))


def as_csv(heading: list[str], rows: Iterable[list[str]]) -> bytes:
    """A table that spreadsheets open as it is: nothing in it is taken for a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(heading)
    for row in rows:
        writer.writerow([f"'{cell}" if cell[:1] in set("=+-@\t\r") else cell for cell in row])
    return text.getvalue().encode("utf-8-sig")
