"""Objects by name, each written whole or not at all: a folder, an S3 bucket, or memory.

An address is `file:///folder`, `memory://` or `s3://bucket/prefix?endpoint=...&region=...`. With an
`endpoint` of the operator's own the bucket stands in the path, and plain http is spoken only if
the endpoint says so. Credentials never stand in an address: they come from the `AWS_*` variables
or from the role of the machine.

Every wait has a limit: a store that is away is `UnavailableError` within about 15 seconds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store

from core.errors import SettingsError, UnavailableError

if TYPE_CHECKING:
    from obstore.store import S3Config

CONNECT_S = 3
SILENCE_S = 6
REQUEST_S = 120
RETRIES = 1
PART_BYTES = 5 << 20
_PARTS_AT_ONCE = 2
_DEFAULT_REGION = "us-east-1"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9_.=-]+(/[A-Za-z0-9_.=-]+)*")
_ANSWER = re.compile(r"<Code>([^<]*)</Code>(?:\s*<Message>([^<]*)</Message>)?")
MAX_REASON = 300


class Bucket(NamedTuple):
    """Where objects lie on S3: `prefix` has no slash at its ends, `endpoint` None is Amazon's."""

    name: str
    prefix: str
    endpoint: str | None
    region: str

    @property
    def plain_http(self) -> bool:
        """Whether the endpoint asks for http without TLS."""
        return (self.endpoint or "").startswith("http://")

    def below(self, name: str) -> str:
        """Key of `name` below the prefix."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


def bucket_of(url: str) -> Bucket:
    """The parts of `s3://bucket/prefix?endpoint=...&region=...`.

    Raises `SettingsError` for any other address. Without `region` the variables AWS_REGION and
    AWS_DEFAULT_REGION say it, else it is us-east-1.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or "@" in parts.netloc or parts.fragment:
        raise SettingsError(f"{_shown(url)}: write s3://bucket/prefix?endpoint=...&region=...")
    prefix = unquote(parts.path).strip("/")
    if not _BUCKET.fullmatch(parts.netloc):
        raise SettingsError(f"{_shown(url)}: {parts.netloc!r} is no name of a bucket")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
        raise SettingsError(f"{_shown(url)}: a prefix is made of letters, digits and / . _ = -")
    given = parse_qsl(parts.query, keep_blank_values=True)
    asked = dict(given)
    if unknown := sorted(asked.keys() - {"endpoint", "region"}):
        raise SettingsError(
            f"{_shown(url)}: {unknown[0]!r} is not known here; use endpoint and region"
            " (credentials come from the AWS_* variables)"
        )
    if len(asked) < len(given) or "" in asked.values():
        raise SettingsError(f"{_shown(url)}: give endpoint and region once each and not empty")
    endpoint = asked.get("endpoint")
    if endpoint is not None and not _is_endpoint(endpoint):
        raise SettingsError(f"{_shown(url)}: endpoint must be https://host or http://host:port")
    region = asked.get("region") or os.environ.get("AWS_REGION")
    region = region or os.environ.get("AWS_DEFAULT_REGION") or _DEFAULT_REGION
    return Bucket(parts.netloc, prefix, endpoint and endpoint.rstrip("/"), region)


def _is_endpoint(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        wanted = f"{parts.scheme}://{parts.netloc}"
        parts.port  # noqa: B018  # raises ValueError for a port that is none
    except ValueError:
        return False
    plain = endpoint.rstrip("/") == wanted and "@" not in parts.netloc
    return plain and parts.scheme in {"http", "https"} and bool(parts.hostname)


def _shown(url: str) -> str:
    """An address as an error may show it: nothing that somebody put before an @ or after a ?."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"


class Objects:
    """Objects under one address. `where` names it in errors.

    Every method raises `UnavailableError` when the store is out of reach or says no.
    """

    def __init__(self, store: ObjectStore, where: str) -> None:
        self._store = store
        self.where = where

    def get(self, name: str, at_most: int | None = None) -> bytes | None:
        """The content of `name`, None where there is none.

        With `at_most` an object of more bytes than that comes back cut to `at_most` + 1.
        """
        with self._trouble(name):
            try:
                if at_most is None:
                    return bytes(obstore.get(self._store, name).bytes())
                size = obstore.head(self._store, name)["size"]
                end = min(size, at_most + 1)
                if end == 0:
                    return b""
                return bytes(obstore.get_range(self._store, name, start=0, end=end))
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def put(self, name: str, content: bytes) -> None:
        """Write `name`, in place of what it held."""
        with self._trouble(name):
            obstore.put(
                self._store,
                name,
                content,
                chunk_size=PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def create(self, name: str, content: bytes) -> bool:
        """Write `name` where nothing is; False where something is. One of two at once is True."""
        with self._trouble(name):
            try:
                obstore.put(self._store, name, content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

    def keeps_conditions(self, name: str) -> bool:
        """Whether a write whose condition does not hold is refused; leaves `name` there, empty."""
        self.create(name, b"")
        if self.create(name, b""):
            return False
        with self._trouble(name):
            try:
                wrong = {"e_tag": '"00000000000000000000000000000000"'}
                obstore.put(self._store, name, b"", mode=wrong, use_multipart=False)
            except PreconditionError:
                return True
            return False

    def delete(self, name: str) -> None:
        """Remove `name`; nothing happens where there is none."""
        with self._trouble(name):
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                return

    def names(self, prefix: str = "") -> Iterator[str]:
        """Names of all objects that begin with `prefix`, in no order."""
        folder = prefix.rpartition("/")[0]
        with self._trouble(f"{prefix}*"):
            for some in obstore.list(self._store, folder or None):
                yield from (o["path"] for o in some if o["path"].startswith(prefix))

    def folders(self) -> tuple[str, ...]:
        """First parts of all names that have a slash, sorted."""
        with self._trouble("*/"):
            found = obstore.list_with_delimiter(self._store)["common_prefixes"]
        return tuple(sorted(name.strip("/") for name in found))

    @contextmanager
    def _trouble(self, name: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise UnavailableError(f"{self.where}/{name}: {reason(error)}") from error


def open_objects(url: str) -> Objects:
    """Objects at `file:///folder` (made if missing), `s3://bucket/prefix?...` or `memory://`.

    Nothing outside is asked yet. Raises `SettingsError` for another address and
    `UnavailableError` when the folder cannot be made.
    """
    parts = urlsplit(url)
    if url == "memory://":
        return Objects(MemoryStore(), "memory:/")
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.strip("/"):
        folder = Path(unquote(parts.path))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnavailableError(f"cannot make {folder}: {error.strerror or error}") from error
        return Objects(LocalStore(folder), str(folder))
    if parts.scheme == "s3":
        bucket = bucket_of(url)
        return Objects(_s3_store(bucket), str(bucket))
    raise SettingsError(
        f"{_shown(url)!r} is neither file:///folder, s3://bucket/prefix nor memory://"
    )


def _s3_store(bucket: Bucket) -> S3Store:
    config: S3Config = {"region": bucket.region, "virtual_hosted_style_request": False}
    if bucket.endpoint:
        config["endpoint"] = bucket.endpoint
    try:
        return S3Store(
            bucket.name,
            prefix=bucket.prefix or None,
            config=config,
            client_options={
                "allow_http": bucket.plain_http,
                "connect_timeout": timedelta(seconds=CONNECT_S),
                "read_timeout": timedelta(seconds=SILENCE_S),
                "timeout": timedelta(seconds=REQUEST_S),
            },
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": timedelta(seconds=CONNECT_S + SILENCE_S),
            },
        )
    except (BaseError, ValueError) as error:
        raise SettingsError(f"{bucket}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Why a store said no, in a line. An S3 answer is cut to its code and message: the rest can
    repeat the signed request, session token included.
    """
    text = str(error)
    if answer := _ANSWER.search(text):
        return ": ".join(part for part in answer.groups() if part)[:MAX_REASON]
    text = text.partition("\n\nDebug source")[0]
    return " ".join(text.partition("<?xml")[0].split())[:MAX_REASON]
