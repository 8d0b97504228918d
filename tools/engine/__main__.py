"""`python -m tools.engine up|down [FOLDER]`: the whole of slopewatch here, and its end."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.engine import pids
from tools.engine.process import EngineError
from tools.engine.whole import Whole

FIRST = """
Simulated slopes: nothing here is a real place. The engines began empty, and all is forgotten at
`make down`. Airflow now asks the feeds for the first time, history is read, and within some
minutes two slopes are told of.

  mails               {folder}/world/mail
  posts of webhooks   {folder}/world/webhook
  Airflow             http://{airflow}  user admin, password in
                      {folder}/airflow/simple_auth_manager_passwords.json.generated
  settings            {folder}/slopewatch.yaml
  command line        . {folder}/environment
                      slopewatch log tail alerts
                      slopewatch report --site failing --out page.html
  the end             make down"""


def up(whole: Whole) -> None:
    """Start everything, unless it runs."""
    known = pids.read(whole.record)
    if known and all(part.runs for part in known):
        print("it is up already")
    elif any(part.runs for part in known):
        dead = ", ".join(part.name for part in known if not part.runs)
        raise EngineError(f"these have ended, see their logs: {dead}; `make down` ends the rest")
    else:
        if known:
            whole.down()
        whole.up()
    print(whole.table())
    addresses = {part.name: part.address for part in pids.read(whole.record)}
    print(FIRST.format(folder=whole.folder, airflow=addresses["airflow"]))


def main() -> None:
    """Entry point: what is wrong is one sentence."""
    task, folder = (*sys.argv[1:], ".engine")[:2]
    whole = Whole(Path(folder).resolve(), lambda text: print(text, flush=True))
    try:
        {"up": up, "down": Whole.down}[task](whole)
    except EngineError as error:
        sys.exit(f"engine: {error}")
    except KeyboardInterrupt:
        sys.exit("engine: interrupted, all is ended")


if __name__ == "__main__":
    main()
