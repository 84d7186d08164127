"""The validating webhook: a thin front of the domain's own validation, behind TLS."""
