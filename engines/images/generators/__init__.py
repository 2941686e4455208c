"""Generators: one interface over the text-to-image models of diffusers, from the embedded stack to FLUX."""
