"""Reading of training scripts (names, roles, kinds) and the lint rules."""
