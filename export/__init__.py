"""A network becomes files, the same bytes every time."""
