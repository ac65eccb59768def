"""A bucket of an S3 server as the platform's storage. Imported only where one is configured."""

import threading
from collections.abc import Callable
from datetime import datetime
from functools import cached_property, wraps
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from s3transfer.exceptions import RetriesExceededError
from storages.backends.s3 import S3Storage

from accounts.refusals import Unavailable
from resources.s3_clock import ServerClock
from resources.storage import PRESIGNED_SECONDS, UploadForm

_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 5, 30, 4
#: Up to this size an object is read in memory; a larger one by way of a temporary file.
_IN_MEMORY = 4 * 2**20

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _available(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """`method`, whose faults are told as everybody else tells them."""

    @wraps(method)
    def told(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return method(*args, **kwargs)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
                raise FileNotFoundError(str(error)) from error
            raise _unavailable() from error
        # The latter: it cut the body, each time.
        except (BotoCoreError, RetriesExceededError) as error:
            raise _unavailable() from error

    return told


def _unavailable() -> Unavailable:
    message = _("The storage does not answer as it should. Try again in a moment.")
    return Unavailable(message, code="storage_unavailable")


class Bucket(S3Storage):  # type: ignore[misc]
    """A bucket of an S3 server, all objects below `location`.

    Where `public_url` names the address at which clients reach the server, they fetch and store large files
    there by presigned addresses; else everything goes through the platform.
    """

    def __init__(self, *, public_url: str = "", **options: Any) -> None:
        style = options.get("addressing_style", "path")
        super().__init__(
            **options,
            client_config=Config(
                signature_version="s3v4",
                s3={"addressing_style": style},
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
                # Servers other than Amazon's need not know the newer checksums.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
            file_overwrite=False,
            max_memory_size=_IN_MEMORY,
            # The type is told by whoever serves an object, and no object is encoded: segments are gzip.
            object_parameters={"ContentType": "application/octet-stream"},
        )
        self._public_url = public_url
        self._connecting = threading.Lock()
        self._connection: Any = None

    @property
    def connection(self) -> Any:
        """One for all threads: each of its own would take megabytes, and a quarter of a second to make."""
        with self._connecting:
            if self._connection is None:
                self._connection = self._create_session().resource(
                    "s3",
                    region_name=self.region_name,
                    endpoint_url=self.endpoint_url,
                    config=self.client_config,
                )
                ServerClock().attend(self._connection.meta.client)
            return self._connection

    @_available
    def _open(self, name: str, mode: str = "rb") -> Any:
        found = super()._open(name, mode)
        try:
            _fetched = found.file  # now: the first read is too late for a clear answer
        except BaseException:
            found.close()
            raise
        return found

    @_available
    def _save(self, name: str, content: Any) -> str:
        return cast("str", super()._save(name, content))

    @_available
    def delete(self, name: str) -> None:
        super().delete(name)

    @_available
    def exists(self, name: str) -> bool:
        return cast("bool", super().exists(name))

    @_available
    def size(self, name: str) -> int:
        return cast("int", super().size(name))

    @_available
    def listdir(self, name: str) -> tuple[list[str], list[str]]:
        return cast("tuple[list[str], list[str]]", super().listdir(name))

    @_available
    def get_modified_time(self, name: str) -> datetime:
        return cast("datetime", super().get_modified_time(name))

    @_available
    def read_range(self, key: str, offset: int, length: int) -> bytes:
        found = self.bucket.Object(self._normalize_name(key)).get(
            Range=f"bytes={offset}-{offset + length - 1}"
        )
        return cast("bytes", found["Body"].read())

    def download_address(self, key: str, *, file_name: str, content_type: str) -> str | None:
        if not self._public_url:
            return None
        return cast(
            "str",
            self._public.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self.bucket_name,
                    "Key": self._normalize_name(key),
                    "ResponseContentType": content_type,
                    "ResponseContentDisposition": content_disposition_header(
                        as_attachment=True, filename=file_name
                    ),
                },
                ExpiresIn=PRESIGNED_SECONDS,
            ),
        )

    def upload_form(self, key: str, *, most: int) -> UploadForm | None:
        if not self._public_url:
            return None
        form = self._public.generate_presigned_post(
            self.bucket_name,
            self._normalize_name(key),
            Conditions=[["content-length-range", 1, most]],
            ExpiresIn=PRESIGNED_SECONDS,
        )
        return UploadForm(form["url"], form["fields"])

    @cached_property
    def _public(self) -> Any:
        """Signs for the address that clients use; it connects to nothing."""
        return boto3.client(
            "s3",
            region_name=self.region_name,
            endpoint_url=self._public_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=self.client_config,
        )
