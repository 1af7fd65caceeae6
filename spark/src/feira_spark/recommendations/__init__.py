"""Recommendations: features of users and products, as of a day."""
