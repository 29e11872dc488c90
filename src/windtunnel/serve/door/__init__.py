"""Who may come in, how much each may use, and what is written down of it: the same for every endpoint."""
