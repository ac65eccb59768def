from django.urls import path

from interop import exec_stream

urlpatterns = [
    path("rpa/v1/ping", exec_stream.ping),
    path("rpa/v1/exec", exec_stream.execute),
]
