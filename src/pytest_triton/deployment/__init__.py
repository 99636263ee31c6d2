"""What production runs, read from compose files and Kubernetes manifests. Nothing is executed."""
