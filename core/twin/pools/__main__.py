"""`python -m core.twin.pools`: freeze the pools, where they are not yet."""

from __future__ import annotations

import sys

from core.errors import SlopewatchError
from core.twin.pools.freeze import freeze, frozen_path

if __name__ == "__main__":
    try:
        freeze(frozen_path())
    except SlopewatchError as error:
        sys.exit(str(error))
