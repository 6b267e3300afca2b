"""What happens to a delivery: it is leased when due, attempted, settled; what a dead worker held is rescued."""
