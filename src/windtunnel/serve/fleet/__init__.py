"""One endpoint over many: requests forwarded to OpenAI endpoints that are chosen by what they are predicted to take."""
