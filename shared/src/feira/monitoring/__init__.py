"""What the platform is watched by: figures from what it records, in the form of Prometheus."""
