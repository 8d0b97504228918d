"""Shared by all services: events, log, worker, stores, pure numerics. Imports no service."""
