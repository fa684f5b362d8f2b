"""Connection states under load: plain dictionaries, or pool and optimizer, on equal work."""
