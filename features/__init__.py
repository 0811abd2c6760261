"""The lowest room: the schema of a post, errors, settings, sources, the store, every feature, targets."""
