"""Discord: the adapter and the pure modules that it is made of."""
