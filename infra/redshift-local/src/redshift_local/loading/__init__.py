"""COPY: files on S3 read, their rows looked at and taken into a table."""
