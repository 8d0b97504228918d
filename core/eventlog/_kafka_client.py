"""Making clients of kafka-python, and its errors in our words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from kafka import errors as kafka
from kafka.net.compat import KafkaNetClient

from core.errors import SettingsError, SlopewatchError, UnavailableError

T = TypeVar("T")

_REFUSED: Final = (
    kafka.SaslAuthenticationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.TopicAuthorizationFailedError,
)
_NOT_PASSED_ON: Final = ("allow_auto_create_topics", "retry_backoff_ms")
_LONGEST: Final = 300


def connected(make: Callable[..., T], config: Mapping[str, Any]) -> T:
    """A client of kafka-python that has found its broker.

    One that finds none is closed: by itself kafka-python 3.0.12 leaves a thread behind which goes
    on trying for ever. Raises UnavailableError, or SettingsError for what no other try can mend.
    """
    network = _Network()
    try:
        return make(**config, kafka_client=network)
    except (kafka.KafkaError, OSError) as error:
        network.close()
        reason = network.reason or error
        if isinstance(reason, _REFUSED) or not isinstance(error, kafka.KafkaTimeoutError):
            raise in_our_words(reason) from error
        servers = ", ".join(config["bootstrap_servers"])
        hint = "; it may be the login that it refuses" if "sasl_mechanism" in config else ""
        raise UnavailableError(
            f"no Kafka broker answers at {servers}: {_said(reason)}{hint}"
        ) from error
    except BaseException:
        network.close()
        raise


class _Network:
    """Makes the connections of one client, and knows why there is none.

    kafka-python 3.0.12 keeps the reason to itself while it looks for a first broker.
    """

    def __init__(self) -> None:
        self._made: list[KafkaNetClient] = []
        self._failures: dict[type, Exception] = {}

    def __call__(self, **given: Any) -> KafkaNetClient:
        # A connection may take as long as an answer; by itself up to 30 s after some failures.
        longest = given["request_timeout_ms"]
        made = KafkaNetClient(
            **given,
            socket_connection_setup_timeout_ms=longest,
            socket_connection_setup_timeout_max_ms=longest,
        )
        self._made.append(made)
        # Two settings that it takes and does not pass on: a topic that somebody deleted would be
        # made again with the broker's own partitions, by the next look for its leader.
        passed = {name: given[name] for name in _NOT_PASSED_ON if name in given}
        made._manager.cluster.config.update(passed)
        connect = made._manager.get_connection

        def get_connection(*wanted: Any, **how: Any) -> Any:
            connection = connect(*wanted, **how)
            connection.init_future.add_errback(self._note)
            return connection

        made._manager.get_connection = get_connection
        return made

    def _note(self, error: Exception) -> None:
        self._failures.setdefault(type(error), error)

    @property
    def reason(self) -> Exception | None:
        """Why no connection came about: a refusal, if there was one, else the first failure."""
        failures = list(self._failures.values())
        refusals = [failure for failure in failures if isinstance(failure, _REFUSED)]
        return next(iter(refusals + failures), None)

    def close(self) -> None:
        for one in self._made:
            one.close()


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:_LONGEST] or type(error).__name__


def in_our_words(error: Exception) -> SlopewatchError:
    """What a failed call to the broker means: refused for good, or out of reach just now."""
    what = _said(error)
    if isinstance(error, kafka.NodeNotReadyError):
        what = "there is no connection to it"
    if isinstance(error, kafka.KafkaConfigurationError):
        return SettingsError(f"event log url: {what}")
    if isinstance(error, kafka.MessageSizeTooLargeError):
        return SettingsError(
            "the Kafka broker takes no record of this size: set max.message.bytes of the topic to "
            f"more than the log's max_record_bytes ({what})"
        )
    if isinstance(error, kafka.InvalidSessionTimeoutError):
        return SettingsError(
            "event log url: lease_s is outside what the Kafka broker allows "
            "(group.min.session.timeout.ms, 6 s by default, to group.max.session.timeout.ms)"
        )
    if isinstance(error, _REFUSED):
        return SettingsError(f"the Kafka broker refuses this login or what it asks for: {what}")
    return UnavailableError(f"the Kafka broker is out of reach: {what}")


@contextmanager
def trouble() -> Iterator[None]:
    """Errors of kafka-python, and of sockets below it, as ours."""
    try:
        yield
    except (kafka.KafkaError, OSError) as error:
        raise in_our_words(error) from error
