"""What accelerators this machine has, which versions of its software go together, and what is missing to serve on them."""
