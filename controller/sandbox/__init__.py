"""A world to run the controller in: embedded API servers and a simulated cass-operator."""
