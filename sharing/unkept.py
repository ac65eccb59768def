"""What is shared outlives its share nowhere."""

from django.http.response import HttpResponseBase


def unkept(answer: HttpResponseBase) -> HttpResponseBase:
    """`answer`, which no cache keeps and no search engine lists."""
    answer["Cache-Control"] = "no-store"
    answer["X-Robots-Tag"] = "noindex"
    return answer
