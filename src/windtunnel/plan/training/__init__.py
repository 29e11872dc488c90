"""Training runs: the step of a model on a cluster, its memory, its failures, and the search over layouts."""
