# Where the connections' secrets are. Terraform makes the places and never sees what is in them, so that no
# state and no plan holds one: `fill_secrets.py` writes them.

variable "names" {
  description = "Full names, such as airflow/connections/lake_default."
  type        = set(string)
}
variable "key_arn" { type = string }
variable "kept" { type = bool }

resource "aws_secretsmanager_secret" "this" {
  # checkov:skip=CKV2_AWS_57: What is in them belongs to Kafka, Valkey, Redshift and others outside; fill_secrets.py --rotate changes both sides at once, which a rotation of Secrets Manager alone cannot
  for_each                = var.names
  name                    = each.key
  kms_key_id              = var.key_arn
  recovery_window_in_days = var.kept ? 30 : 0
}

output "arns" { value = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn } }
