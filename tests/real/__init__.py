"""Real etcd, kube-apiserver and kube-controller-manager processes for tests: built, started, ended."""
