"""The engines that slopewatch can run on, started on this machine: for tests and for `make up`."""
