"""What every pipeline's Spark code stands on."""
