"""Engines that exist, each as a process of its own: which of them fit this machine, how they are started, and kept running."""
