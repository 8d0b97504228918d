"""The small artifact that inference writes per epoch: all that a rule may look at.

Arrays may carry leading batch axes (sites); the last two axes of unit series are (epoch, unit).
Rates are mm/d along the line of sight, positive toward the satellite.
"""
