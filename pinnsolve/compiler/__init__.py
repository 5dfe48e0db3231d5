"""From a declaration in SymPy to residuals in torch, as a list of passes."""
