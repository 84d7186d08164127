"""What an API server does: cases that a real kube-apiserver and the embedded one both pass, unchanged."""
