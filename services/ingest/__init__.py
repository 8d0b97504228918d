"""Asks the outside world for news of a site and writes it to the log."""
