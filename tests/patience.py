"""How long tests wait for what they do not measure."""

# A wait that ends in time ends early: this only bounds a test that hangs. A busy machine may stand still for
# seconds, and servers that elect a leader may need several rounds of that, so it is far above what is usual.
PATIENCE_S = 60.0
