"""A K8ssandraTask becomes CassandraTasks in the clusters of its datacenters."""
