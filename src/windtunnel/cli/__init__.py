"""The terminal's face of windtunnel: one file per command, each thin over a public function."""
