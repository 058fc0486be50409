"""Which rule each layer gets, what is known before anything runs, and what that leaves of the rules."""
