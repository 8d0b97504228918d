"""A message as people read it: subject, plain text and HTML, from one list of sections."""

from __future__ import annotations

from services.alerting.bulletin.render import Bulletin, render

__all__ = ["Bulletin", "render"]
