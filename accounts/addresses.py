"""What the things of the REST API have in common: addresses."""

from typing import Any, TypeVar

from django.db.models import Model
from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter
from rest_framework import status
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.pagination import key_of

M = TypeVar("M", bound=Model)

#: For the description of what `created` answers.
LOCATION = OpenApiParameter(
    "Location",
    location=OpenApiParameter.HEADER,
    response=[status.HTTP_201_CREATED],
    description="The address of what was made.",
)


class ByNumber(GenericViewSet[M]):
    """Things whose addresses have their primary keys, in the digits 0 to 9: Python takes those of every script."""

    def get_object(self) -> M:
        if key_of(str(self.kwargs["pk"])) is None:
            raise Http404
        return super().get_object()


def created(body: Any, view: str, key: Any) -> Response:
    """201 for something that has an address: that of the view of this name, where the maker may read it."""
    where = reverse(view, args=[key])
    return Response(body, status=status.HTTP_201_CREATED, headers={"Location": where})
