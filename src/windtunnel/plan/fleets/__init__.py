"""Fleets: which workloads on which chips, bought when, under supply, budget, power, floor space and rules."""
