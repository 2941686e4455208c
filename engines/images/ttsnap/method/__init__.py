"""TTSnap's method: schedules and what they cost, rankings, the staged search, measures, replays, noise-aware rewards.

Everything is pure: generators come in, no events, no files. `search` and `noise_aware` need torch, the rest NumPy."""
