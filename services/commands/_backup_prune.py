"""Old backups go, and with them every piece that no backup names any more."""

from __future__ import annotations

from core.errors import BadInputError, NewerVersionError
from services.commands._backup_place import Echo, Manifest, Vault, artifacts_of


def forget_old(vault: Vault, keep: int, echo: Echo) -> None:
    """Remove all but the newest `keep` backups, and the pieces that none of these names.

    Pieces of a backup or of a pruning that was killed go as well. A backup that cannot be read is
    told, stays and does not count; what it names is not known, so all pieces stay then.
    """
    needed: set[str] = set()
    kept, old, unknown = 0, [], []
    for name in reversed(vault.names()):
        try:
            manifest = vault.read(name)
            if kept == keep:
                old.append(name)
                continue
            needed |= _named(vault, manifest)
            kept += 1
        except (BadInputError, NewerVersionError) as error:
            unknown.append(name)
            echo(f"passed over: {error}")
    for name in old:
        vault.forget(name)
    if unknown:
        echo(
            f"{len(old)} older backups removed, but no pieces: what {unknown[0]} needs cannot be "
            f"read; remove {vault.where}/manifests/{unknown[0]}.json to give it up"
        )
        return
    dropped = vault.drop(sorted(vault.there() - needed))
    if old or dropped:
        echo(f"{len(old)} older backups removed, {dropped} pieces with them")


def _named(vault: Vault, manifest: Manifest) -> set[str]:
    named = {piece.sha256 for piece in manifest.pieces()}
    return named | {piece.sha256 for piece in artifacts_of(vault, manifest)}
