"""The projector: what has its own time, as SQL tables for dashboards."""
