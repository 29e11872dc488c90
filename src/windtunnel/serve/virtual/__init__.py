"""A deployment that is not there, behind a real endpoint: all live requests share one simulated engine."""
