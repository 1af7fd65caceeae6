"""What stands for Redshift on a laptop."""
