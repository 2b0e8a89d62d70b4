"""Floor 3: the parts of a tensor, without knowing the rank."""
