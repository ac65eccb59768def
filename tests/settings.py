"""Settings of the tests: a data folder of their own, no engine unless a test starts one.

SQLite unless RPA_TEST_DATABASE_URL names a MariaDB or MySQL server.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
_data = Path(tempfile.mkdtemp(prefix=f"rpa-test-{_worker}-"))
_data.chmod(0o711)  # the robots' users must find their way in
atexit.register(shutil.rmtree, _data, ignore_errors=True)

os.environ.update(
    {
        "RPA_DATA_DIR": str(_data),
        "RPA_ENGINE": "none",
        "RPA_DATABASE_URL": os.environ.get("RPA_TEST_DATABASE_URL", ""),
        "RPA_CANCEL_GRACE": "1",
        "RPA_HEARTBEAT_SECONDS": "1",
        "RPA_API_RATE": "100000/min",
        "RPA_SEARCH_RATE": "100000/min",
    }
)

from rpa_platform.settings import *  # noqa: E402, F403
from rpa_platform.settings import STORAGES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
(_data / "static").mkdir()
