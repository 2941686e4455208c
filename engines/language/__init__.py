"""Language models: one folder a paper, and beside them what these papers share.

Models: `loading` (embedded name, local folder or hub id to a model, LoRA targets), `prompts` (how a question is put,
tokens of question and answer), `answers` (teacher-forced scores, top tokens), `generation` (greedy answers, batched
without padding), `kept_models` (what is left of a run's models, and asking them).
Questions: `questions` (items and splits), `authors` (the embedded world of fictitious authors), `corpora` (TOFU, TDEC,
one's own lines).
Reinforcement learning: `char_policy` (the embedded policy and its task), `rl_models` (policies with adapters),
`rl_rollouts` (sampling with a cache, log-probabilities), `verifiers` (reward functions), `per_sample_norms` (exact
gradient norms a sample and a group from one backward pass). Importing this package imports nothing heavy.
"""
