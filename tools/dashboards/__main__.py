"""Write every dashboard: `python -m tools.dashboards [FOLDER [ADDRESS-OF-RUNBOOKS]]`.

Without a folder to helm/slopewatch/dashboards. With an address the links to runbooks lead there;
in the repository they name the files in docs/runbooks, and the chart puts its own address before.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tools.dashboards.panels import RUNBOOKS
from tools.dashboards.written import FOLDER, write

if __name__ == "__main__":
    given = sys.argv[1:]
    folder = Path(given[0]) if given else FOLDER
    for path in write(folder, given[1] if len(given) > 1 else RUNBOOKS):
        print(path)
