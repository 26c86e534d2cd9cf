"""The programs that ship; copied into crates, never imported as a package."""
