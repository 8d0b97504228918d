"""The keys of one open session, with a memory of the small ones written again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator

from zarr.abc.store import Store
from zarr.core.buffer import cpu, default_buffer_prototype

MAX_KEPT_BYTES = 64 << 10


class Files:
    """Keys and bytes of a session's store.

    `kept` holds what stands under some keys, so that writing the same again costs nothing (every
    key written is a file or two in the commit) and a chunk to be continued need not be read. It
    is true for as long as every write goes through here and is committed; else empty it.
    """

    def __init__(self, store: Store, kept: dict[str, bytes]) -> None:
        self._store = store
        self._kept = kept

    async def get(self, key: str) -> bytes | None:
        """The bytes at `key`, None where there are none."""
        if key in self._kept:
            return self._kept[key]
        content = await self._store.get(key, default_buffer_prototype())
        return None if content is None else content.to_bytes()

    async def set(self, key: str, content: bytes, *, keep: bool = False) -> None:
        """Write `content`, remembered when `keep`."""
        if self._kept.get(key) == content:
            return
        await self._store.set(key, cpu.Buffer.from_bytes(content))
        self._kept.pop(key, None)
        if keep and len(content) <= MAX_KEPT_BYTES:
            self._kept[key] = content

    async def delete(self, key: str) -> None:
        """Remove one key."""
        self._kept.pop(key, None)
        await self._store.delete(key)

    async def delete_below(self, path: str) -> None:
        """Remove a group or array with all it holds."""
        for key in [key for key in self._kept if key.startswith(f"{path}/")]:
            del self._kept[key]
        await self._store.delete_dir(path)

    def names(self, path: str) -> AsyncIterator[str]:
        """Names directly below `path`."""
        return self._store.list_dir(path)
