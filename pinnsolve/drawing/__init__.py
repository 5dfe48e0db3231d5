"""The parts of the pictures: which slices of the domain are shown, what is evaluated on them, and how it is drawn."""
