"""A K8ssandraCluster becomes CassandraDatacenters: types, merge, render, plan, apply."""
