"""A program on a virtual device (clock, allocator, streams, report) or on a real one (measure, compare)."""
