"""Drives a deployment that was written: Docker Compose, kubectl and Ray do the work, with exactly the files of its folder."""
