"""Run the benchmarks: `python -m benchmarks [NAME ...] [--quick | --short] [--write]`."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from benchmarks.frame import LeftOutError, as_markdown, as_text, conditions

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.md"
PREFIX = "bench_"
SHORTENED = ("forecast_skill", "understanding")
"""Run for long at full size, and have a form of ten minutes."""


def names() -> list[str]:
    """All benchmarks: the files `bench_NAME.py` beside this one."""
    return sorted(path.stem.removeprefix(PREFIX) for path in FOLDER.glob(f"{PREFIX}*.py"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print conditions and tables; with `--write` keep them in `results.md` as well."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; all")
    parser.add_argument("--quick", action="store_true", help="small sizes: a look whether they run")
    parser.add_argument(
        "--short", action="store_true", help=f"ten minutes each of {' and '.join(SHORTENED)}"
    )
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} anew")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(names()):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    if given.write and (given.quick or given.names):
        parser.error("results are written of all benchmarks at full size: leave names and --quick")
    if given.short and (given.quick or not given.names or set(given.names) - set(SHORTENED)):
        parser.error(f"only {' and '.join(SHORTENED)} have a short form: name them")
    _only_warnings()
    measured_under = conditions()
    print("\n".join(measured_under), flush=True)
    sections = []
    for name in given.names or names():
        module = importlib.import_module(f"benchmarks.{PREFIX}{name}")
        described = (module.__doc__ or "").strip()
        print(f"\n[{name}] {described.splitlines()[0]}", flush=True)
        try:
            tables = module.run(given.quick, *([True] if given.short else []))
        except LeftOutError as reason:
            print(f"left out: {reason}", flush=True)
            sections.append(f"## {name}\n\n{described}\n\nLeft out: {reason}.")
            continue
        for table in tables:
            print(as_text(table), flush=True)
        sections.append("\n\n".join([f"## {name}", described, *map(as_markdown, tables)]))
    if given.write:
        head = "# Benchmarks\n\nWritten by `python -m benchmarks --write`.\n\n"
        listed = "\n".join(f"- {line}" for line in measured_under)
        RESULTS.write_text(head + listed + "\n\n" + "\n\n".join(sections) + "\n", encoding="utf-8")


def _only_warnings() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    main()
