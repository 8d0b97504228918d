"""Forecast models, one file each."""
