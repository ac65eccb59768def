"""Reading what was sent: JSON that has bounds, checked by a serializer; names, texts, addresses of pictures."""

import re
from collections.abc import Mapping
from json import JSONDecodeError
from typing import IO, Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.serializers import Serializer

from accounts.refusals import Invalid


class BoundedJSONParser(JSONParser):
    """JSON, its nesting as bounded as its size: DATA_UPLOAD_MAX_MEMORY_SIZE holds for that."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError(_("The body nests too deeply.")) from None
        except ParseError as error:
            raise ParseError(_complaint(error.__context__)) from None


def _complaint(fault: BaseException | None) -> str:
    """REST framework's own complaint is English only."""
    if isinstance(fault, JSONDecodeError):
        at = {"line": fault.lineno, "column": fault.colno}
        return _("It is not valid JSON (line %(line)d, column %(column)d).") % at
    return _("This is not valid JSON.")


def checked(serializer: Serializer[Any]) -> dict[str, Any]:
    """The validated data, or REST framework's ValidationError, which becomes a problem."""
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def invalid(where: str, message: str) -> Invalid:
    return Invalid(message, details={"errors": [{"where": where, "message": message}]})


def tidy_name(name: str, *, most: int = 50) -> str:
    """`name` without needless blanks, or Invalid."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= most or not name.isprintable():
        message = _("A name has 1 to %(most)d printable characters.") % {"most": most}
        raise invalid("name", message)
    return name


def picture_address(where: str, address: str) -> str:
    """`address` as a picture may have it, in the web or on this site; empty is none; else Invalid."""
    on_the_web = re.fullmatch(r"https?://[^\s/]+(/\S*)?", address)
    here = re.fullmatch(r"/(?![/\\])\S*", address)
    if address and (len(address) > 1024 or not address.isprintable() or not (on_the_web or here)):
        raise invalid(where, _("A picture is an https:// address of at most 1024 characters."))
    return address
