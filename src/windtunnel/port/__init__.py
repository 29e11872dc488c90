"""What ties a repository to one vendor's accelerators; the rewrite that runs everywhere; the proof that it computes the same."""
