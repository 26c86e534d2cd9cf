"""People are told: how a version differs from the one before, where it is, and that it is out."""
