"""What a problem is made of: statements read into terms, and every check that a declaration must pass."""
