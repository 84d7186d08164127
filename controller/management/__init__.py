"""Cassandra's Management API, which runs beside every node: who to ask, which way to go, and what to ask for."""
