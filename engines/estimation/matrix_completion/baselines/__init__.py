"""What the method is compared with. Exact alternating least squares is the method's own outer loop with
solver="exact" (`method.alternating`); mean fill is the pair of zero factors on centred data."""
