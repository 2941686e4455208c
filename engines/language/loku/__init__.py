"""LoKU, as the paper has it: the inverted hinge loss, importance, FILA, and the measures of forgetting. No events."""
