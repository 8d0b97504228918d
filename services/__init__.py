"""The services and the command line."""
