# Glue's databases, one for each namespace of the lake. Iceberg makes the tables.

variable "bucket" { type = string }
variable "namespaces" { type = set(string) }

resource "aws_glue_catalog_database" "this" {
  for_each    = var.namespaces
  name        = each.key
  description = "Iceberg tables of ${each.key}"
  # Where Iceberg would put it by itself.
  location_uri = "s3://${var.bucket}/tables/${each.key}.db"
}
