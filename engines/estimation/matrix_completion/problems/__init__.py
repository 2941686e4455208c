"""The problems of the engine; each has `run(settings, context, done, share)` that yields events."""
