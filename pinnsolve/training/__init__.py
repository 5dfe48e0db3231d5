"""A residual minimiser: objectives, phases, line searches and the loop that runs them."""
