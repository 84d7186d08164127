"""A simulated cass-operator: gives CassandraDatacenters pods, services and a status, through any API server."""

from controller.sandbox.cass_operator.operator import CassOperator

__all__ = ["CassOperator"]
