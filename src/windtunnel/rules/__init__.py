"""What a date and a destination allow: export rules as dated data, and the arithmetic that holds chips against them.

Engineering data, not legal advice.
"""
