"""ClientConfigs become connections: the pool of remote clusters, their credentials and conditions."""
