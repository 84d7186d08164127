"""k8ssandra-controller: one Apache Cassandra cluster across many Kubernetes clusters."""
