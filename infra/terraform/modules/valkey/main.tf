# Valkey with one primary: its client is not one of a cluster of shards, which ElastiCache's serverless is.

variable "name" { type = string }
variable "key_arn" { type = string }
variable "kept" { type = bool }
variable "subnets" { type = list(string) }
variable "security_group" { type = string }
variable "user" { type = string }
variable "size" { type = object({ type = string, nodes = number }) }

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnets
}

resource "aws_elasticache_user" "this" {
  user_id = "${var.name}-${var.user}"
  # A user of IAM's has one name.
  user_name = "${var.name}-${var.user}"
  engine    = "valkey"
  # It may do nothing until fill_secrets.py gives it a password and its rights: a password that stood here
  # would stand in the state too. Until then it is IAM's, whose policies let nobody connect: a group of Valkey's
  # takes no user without either.
  access_string = "off -@all"
  authentication_mode { type = "iam" }
  lifecycle { ignore_changes = [access_string, authentication_mode] }
}

resource "aws_elasticache_user_group" "this" {
  user_group_id = var.name
  engine        = "valkey"
  user_ids      = [aws_elasticache_user.this.user_id]
}

resource "aws_elasticache_replication_group" "this" {
  # checkov:skip=CKV2_AWS_50: Where there are two nodes, as in prod, both settings are on; checkov does not compare numbers
  # checkov:skip=CKV_AWS_31: Clients are told apart by users (user_group_ids), which exclude a token
  replication_group_id       = var.name
  description                = "Recommendations as they are served"
  engine                     = "valkey"
  engine_version             = "8.0"
  node_type                  = var.size.type
  num_cache_clusters         = var.size.nodes
  automatic_failover_enabled = var.size.nodes > 1
  multi_az_enabled           = var.size.nodes > 1
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [var.security_group]
  user_group_ids             = [aws_elasticache_user_group.this.user_group_id]
  at_rest_encryption_enabled = true
  kms_key_id                 = var.key_arn
  transit_encryption_enabled = true
  # The lists can be written anew from the lake; a snapshot saves the hour.
  snapshot_retention_limit  = var.kept ? 7 : 0
  final_snapshot_identifier = var.kept ? "${var.name}-last" : null
}

output "host" { value = aws_elasticache_replication_group.this.primary_endpoint_address }
output "user_id" { value = aws_elasticache_user.this.user_id }
