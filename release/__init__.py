"""Files become a crate, a crate goes to a registry and comes back."""
