"""The referee: a classical solution of the same declaration, with its own error."""
