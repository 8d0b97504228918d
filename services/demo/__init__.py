"""The demo: local stand-ins for the world outside, so that everything runs on one machine."""
