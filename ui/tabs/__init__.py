"""Views of engines that bring their own: `ui/tabs/<family>/<key>.py` exports VIEW."""
