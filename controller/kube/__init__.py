"""One API server: requests, streams, errors, credentials. Knows HTTP and API conventions, nothing of Cassandra."""
