"""How the embedded stack was trained: one script a stage, each resumable. README.md gives order and figures."""
