"""The mixed-integer programme of a fleet, solved by HiGHS through SciPy."""
