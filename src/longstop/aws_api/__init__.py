"""What all of AWS shares: how it is reached, and what its errors say. Needs the extra `aws`."""
