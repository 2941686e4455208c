"""LoKU: make a language model forget, with the inverted hinge loss and Fisher-weighted low-rank adapters."""
