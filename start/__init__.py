"""A first step for somebody else's repository: what is in it, and what it needs to make a crate."""
