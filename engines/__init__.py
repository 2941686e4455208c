"""Engines: one folder a paper, pure methods that know neither the page nor the database."""
