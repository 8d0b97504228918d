"""Outside services played on this machine: the real protocols, filled by the digital twin.

`StandIn` is a local web server. The feeds and sources poll it as they would poll NASA's catalogue,
NOAA, USGS and a processor's product folder; only base addresses differ.
"""

from services.demo.standin.server import StandIn
from services.demo.standin.site import StandInPoint, StandInSite, StandInSlope
from services.demo.standin.tree import site_tree
from services.demo.standin.twin import from_twin

__all__ = ["StandIn", "StandInPoint", "StandInSite", "StandInSlope", "from_twin", "site_tree"]
