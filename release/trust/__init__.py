"""What came from a registry is not believed: who signed it, and what its files would do."""
