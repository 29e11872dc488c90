"""Real models: what a user's MODEL is, which engine takes it on this machine, and the engines that run in this process."""
