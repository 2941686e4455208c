"""Text-to-image engines (ReNO, TTSnap) and the embedded stack they run on: nothing heavy is imported here."""
