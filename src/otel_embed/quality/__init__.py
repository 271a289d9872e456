"""What goes wrong in embedding calls without an error: looked for in a bounded sample, off by one setting."""
