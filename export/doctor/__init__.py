"""The export doctor: why a format cannot hold a network, where, and what to change."""
