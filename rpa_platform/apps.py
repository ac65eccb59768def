"""The composition of the platform: the one place that knows every app."""

from django.apps import AppConfig


class PlatformConfig(AppConfig):
    name = "rpa_platform"
