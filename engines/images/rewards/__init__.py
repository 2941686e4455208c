"""Rewards: differentiable scores of a picture for a prompt, embedded and from the hub."""
