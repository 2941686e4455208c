"""Views of the family "Estimation"."""
