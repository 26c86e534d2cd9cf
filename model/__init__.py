"""What goes in and what comes out; the network; its weights."""
