"""The Redshift Data API over HTTP, as botocore's model of the service describes it."""
