"""`slopewatch cap check`: whether files are CAP 1.2 messages that everybody can read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from services.alerting.cap import Finding, check
from services.alerting.cap.reader import MAX_BYTES


def check_files(paths: Iterable[Path], echo: Callable[[str], None]) -> bool:
    """Say of each file whether it is a valid CAP 1.2 message and what is wrong; True when all are.

    No other file and no address is read. Signatures are not verified.
    """
    unfit = 0
    for path in paths:
        found = check_file(path)
        is_fit = all(finding.kind != "error" for finding in found)
        unfit += not is_fit
        echo(f"{path}: {'valid CAP 1.2' if is_fit else 'refused'}")
        for finding in found:
            echo(f"  {finding.kind}: {finding}")
    return not unfit


def check_file(path: Path) -> list[Finding]:
    """What is wrong with the file; no more of it is read than a message may weigh."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        return [Finding("error", 0, "", f"cannot be read: {error.strerror}")]
    return check(content)
