"""How the families of language models write their config.json: one file a kind of part."""
