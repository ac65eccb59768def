"""Does nothing: what remains of its run is the platform."""
