"""From unwrapped interferograms to displacement series, per pixel."""
