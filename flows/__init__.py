"""Scheduled work and the `clipcast` command line: thin callers of the rooms below."""
