"""SQL databases: connections with our limits, and their errors in our words.

Plain SQLAlchemy is for whoever keeps tables in one; `database` knows SQLite, `postgresql` knows
PostgreSQL, and nothing else does.
"""
