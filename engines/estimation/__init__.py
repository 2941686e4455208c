"""Statistical and high-dimensional estimation."""
