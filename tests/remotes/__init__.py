"""Remote clusters that fail, on real sockets: a proxy that breaks connections, and ``make bench-remotes``."""
