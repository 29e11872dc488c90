"""Thousands of simulations from one file: on all cores or a cluster, stopped and gone on with, into one table."""
