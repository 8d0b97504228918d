"""Deformation state and forecasts, from what the feeds brought."""
