"""Any PyTorch program: the virtual device that records its operators, and tells whoever listens."""
