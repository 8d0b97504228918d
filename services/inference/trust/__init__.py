"""How far a forecast can be trusted: calibrated intervals, and the gate that chooses who speaks."""
