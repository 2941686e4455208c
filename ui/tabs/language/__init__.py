"""Views of the language-model engines."""
