"""Requests through serving engines, event by event: queues, batches, caches, pools, failures."""
