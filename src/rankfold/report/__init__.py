"""Floor 5: what runs and files look like on the terminal."""
