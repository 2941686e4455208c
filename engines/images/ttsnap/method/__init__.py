"""TTSnap: the method."""
