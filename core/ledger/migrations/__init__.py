"""How a database comes to the newest schema, and back; run by `core.ledger.upgrade`."""
