"""Which of several unlike backends takes a request: predicted times under each one's present load, learned while it runs."""
