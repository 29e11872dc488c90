"""The floor: a model in safetensors by ``transformers``, on any device that PyTorch has."""
