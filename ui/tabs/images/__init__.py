"""Views of the text-to-image engines."""
