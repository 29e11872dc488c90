"""An OpenAI-compatible endpoint: of a deployment that is not there, of a real engine, or of a fleet of both."""
