"""Where collected static files lie: compressed, and named after their contents so that browsers keep them."""

from servestatic.storage import CompressedManifestStaticFilesStorage


class HashedStaticFilesStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Also follows the imports inside JavaScript modules: a new deployment never mixes with an old cache."""

    support_js_module_import_aggregation = True
