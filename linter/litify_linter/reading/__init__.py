"""Reading of Python training code with `ast`: source, imports, scopes, roles, kinds. Shared with the converter."""
