"""Parameter groups: what refinement can move in a tilt series, one module each, listed in `registry`."""
