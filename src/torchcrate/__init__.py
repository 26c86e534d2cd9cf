"""A trained PyTorch network becomes a verified package that answers alike in Python and C++."""
