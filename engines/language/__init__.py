"""Language models: one folder a paper, and beside them what these papers share.

Shared: `char_policy` (the embedded policy and its task), `rl_models` (embedded name, local folder or hub id to a
model), `rl_rollouts` (sampling with a cache, log-probabilities), `verifiers` (reward functions),
`per_sample_norms` (exact gradient norms a sample and a group from one backward pass). Importing this package
imports nothing heavy.
"""
