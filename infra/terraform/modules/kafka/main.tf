# Kafka, whose clients have a user and a password (SCRAM) over TLS: librdkafka and Spark both speak that by
# themselves, IAM neither without a library of AWS's.

variable "name" { type = string }
variable "account_id" { type = string }
variable "key_arn" { type = string }
variable "kept" { type = bool }
variable "subnets" { type = list(string) }
variable "security_group" { type = string }
variable "user" { type = string }
variable "size" { type = object({ type = string, per_zone = number, disk = number }) }
variable "log_days" { type = number }

resource "aws_cloudwatch_log_group" "brokers" {
  name              = "/${var.name}/kafka"
  retention_in_days = var.log_days
  kms_key_id        = var.key_arn
}

resource "aws_msk_configuration" "this" {
  name = var.name
  # A topic is made on purpose, with its partitions. Retention goes by timestamps: one of the far future, as of a
  # producer that sends microseconds, would keep all that is behind it. Days of long ago are taken.
  server_properties = <<-PROPERTIES
    auto.create.topics.enable=false
    default.replication.factor=3
    log.message.timestamp.after.max.ms=3600000
    min.insync.replicas=2
    unclean.leader.election.enable=false
  PROPERTIES
}

resource "aws_msk_cluster" "this" {
  cluster_name           = var.name
  kafka_version          = "3.9.x"
  number_of_broker_nodes = var.size.per_zone * length(var.subnets)
  enhanced_monitoring    = "PER_BROKER"

  broker_node_group_info {
    instance_type   = var.size.type
    client_subnets  = var.subnets
    security_groups = [var.security_group]
    storage_info {
      ebs_storage_info { volume_size = var.size.disk }
    }
    connectivity_info {
      public_access { type = "DISABLED" }
    }
  }

  client_authentication {
    unauthenticated = false
    sasl { scram = true }
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = var.key_arn
    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.brokers.name
      }
    }
  }
}

# MSK takes no secret whose name begins otherwise, nor one under AWS's own key.
resource "aws_secretsmanager_secret" "scram" {
  # checkov:skip=CKV2_AWS_57: fill_secrets.py --rotate changes it together with the connection
  name                    = "AmazonMSK_${var.name}_${var.user}"
  kms_key_id              = var.key_arn
  recovery_window_in_days = var.kept ? 30 : 0
}

resource "aws_secretsmanager_secret_version" "scram" {
  secret_id = aws_secretsmanager_secret.scram.id
  # MSK asks for a value when it is told of the secret. This one nobody knows, no state holds it, and
  # fill_secrets.py replaces it.
  secret_string_wo         = jsonencode({ username = var.user, password = uuid() })
  secret_string_wo_version = 1
}

resource "aws_secretsmanager_secret_policy" "scram" {
  secret_arn = aws_secretsmanager_secret.scram.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Brokers"
      Effect    = "Allow"
      Principal = { Service = "kafka.amazonaws.com" }
      Action    = "secretsmanager:GetSecretValue"
      Resource  = aws_secretsmanager_secret.scram.arn
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_msk_scram_secret_association" "this" {
  cluster_arn     = aws_msk_cluster.this.arn
  secret_arn_list = [aws_secretsmanager_secret.scram.arn]
  depends_on      = [aws_secretsmanager_secret_version.scram, aws_secretsmanager_secret_policy.scram]
}

# MSK has no protection against deletion.
module "guard" {
  source = "../guard"
  kept   = var.kept
  parts  = [aws_msk_cluster.this.arn, aws_msk_configuration.this.arn]
}

output "brokers" { value = aws_msk_cluster.this.bootstrap_brokers_sasl_scram }
output "secret" { value = aws_secretsmanager_secret.scram.name }
output "cluster" { value = aws_msk_cluster.this.cluster_name }
output "guarded" { value = module.guard.kept }
