"""An object store that speaks S3: moto's server. It keeps everything in memory and forgets it."""

from __future__ import annotations

import importlib.util
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

from tools.engine.process import HOST, EngineError, Server, listens

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "stand-in", "AWS_SECRET_ACCESS_KEY": "stand-in"}


def missing() -> str | None:
    """What this machine lacks to run it; None when nothing."""
    lacking = importlib.util.find_spec("moto") is None
    return "moto is not installed (it comes with the tools of `make test`)" if lacking else None


class ObjectStore(Server):
    """A stand-in for S3; any credentials will do."""

    name = "s3"

    @property
    def endpoint(self) -> str:
        """Its address, for `?endpoint=`."""
        return f"http://{self.address}"

    def prepare(self) -> None:
        """Nothing is kept."""

    def command(self) -> Sequence[str]:
        """The server."""
        return [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(self.port)]

    def answers(self) -> bool:
        """Whether it accepts connections."""
        return listens(self.port)

    def create_bucket(self, name: str) -> None:
        """Make a bucket, if there is none of that name."""
        request = urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 409:
                raise EngineError(f"bucket {name} cannot be made: {error}") from error

    def url(self, bucket: str, prefix: str) -> str:
        """Where `prefix` of `bucket` is, as a setting of slopewatch names it."""
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}&region={REGION}"
