"""Whom a table invites: the accounts in its first column."""

from typing import BinaryIO, NamedTuple

from accounts.tables import read_table, require_few

_MAX_ACCOUNT = 254
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
    found = [
        Row(number, texts[0] if texts and texts[0] and len(texts[0]) <= _MAX_ACCOUNT else "")
        for number, texts in read_table(file, name, columns=1)
    ]
    if found and found[0].account.casefold() in _HEADINGS:
        found = found[1:]
    require_few(found)
    return found
