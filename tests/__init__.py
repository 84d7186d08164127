"""Tests; a package, so that they share the servers they run against."""
