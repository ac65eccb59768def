from tests.pages.conftest import browser, strict

__all__ = ["browser", "strict"]
