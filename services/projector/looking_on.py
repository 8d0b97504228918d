"""What the projections share: stages that say nothing and write rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, Generic

from sqlalchemy import Table

from core.artifacts import Artifacts
from core.stage import Input, Outcome
from services.projector.changes import M, Projected
from services.projector.projection import Projection
from services.projector.store import ProjectionSite


class LooksOn(ABC, Generic[M]):
    """A `core.stage.Stage[Projected[M]]` without an outbox.

    It takes every type of its inbox and passes by what it has no row for. `log_id` is the identity
    of the inbox: of another log everything is read again.
    """

    name: ClassVar[str]
    inbox: ClassVar[str]
    tables: ClassVar[tuple[Table, ...]]
    memory: type[M]
    outbox = None

    def __init__(self, projection: Projection, log_id: str, artifacts: Artifacts) -> None:
        self._projection = projection
        self._log_id = log_id
        self._artifacts = artifacts

    def sites(self) -> Iterable[str]:
        """Names of all sites that this projection has read."""
        return self._projection.sites(self.name)

    def store(self, site: str) -> ProjectionSite[M]:
        """This projection's store of one site."""
        return self._projection.site(self.name, self.tables, self._log_id, site, self.memory)

    def handle(self, state: Projected[M], given: Input) -> tuple[Projected[M], Sequence[Outcome]]:
        """Rows of one input; see `core.stage.Stage.handle`."""
        return self.project(state, given), ()

    @abstractmethod
    def project(self, state: Projected[M], given: Input) -> Projected[M]:
        """The state with the rows that the input asks for."""
