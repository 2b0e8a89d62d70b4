"""What builds the documentation: hooks of the site, and the commands that draw its pictures."""
