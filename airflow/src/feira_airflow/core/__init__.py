"""What every pipeline shares: connections, partitions, pools, defaults, and how pipelines are found."""
