"""Grafana dashboards as code: `python -m tools.dashboards` writes helm/slopewatch/dashboards.

Each dashboard is a module with one function. `queries` and `panels` are what they are made of,
`looks` holds colours and limits. `filled` reads the written files as Grafana does: tests and
`pictures` put the very queries of the panels to real servers with it.
"""
