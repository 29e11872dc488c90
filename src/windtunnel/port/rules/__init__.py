"""One file, one rule, named after what it finds; the registry collects every ``RULE`` here."""
