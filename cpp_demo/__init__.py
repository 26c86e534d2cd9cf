"""The C++ program; its sources are copied into crates, never imported."""
