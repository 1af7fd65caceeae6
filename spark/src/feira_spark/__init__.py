"""Feira's Spark code: pure DataFrame transforms and the spark-submit jobs that run them."""
