"""A ReplicatedSecret becomes Secrets in other clusters."""
