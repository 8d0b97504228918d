"""What moves a slope, and how late: lags, shares of the drivers, rhythms they have in common.

Works on a `History` as forecasts do and never knows the twin; what it says is judged there.
"""
