"""Where a problem lives: regions and the points drawn in them."""
