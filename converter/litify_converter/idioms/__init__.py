"""Idioms: each a rewrite of the plan into what an expert would write, with the condition it must prove."""
