"""What answers over REST have in common."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter
from rest_framework import status
from rest_framework.response import Response

#: For the description of what `created` answers.
LOCATION = OpenApiParameter(
    "Location",
    location=OpenApiParameter.HEADER,
    response=[status.HTTP_201_CREATED],
    description="The address of what was made.",
)


def created(body: Any, view: str, key: Any) -> Response:
    """201 for something that has an address: that of the view of this name, where the maker may read it."""
    where = reverse(view, args=[key])
    return Response(body, status=status.HTTP_201_CREATED, headers={"Location": where})
