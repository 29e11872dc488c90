"""What has been said in public about these chips, recomputed from the catalogue, the rules and the predictions."""
