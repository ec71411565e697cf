"""Learn by solving for a head exactly."""
