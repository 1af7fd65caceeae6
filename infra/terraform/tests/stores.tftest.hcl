# What holds data: reached from inside, over TLS, by who has a password, and not destroyed where it is kept.

mock_provider "aws" { source = "./tests/mocks" }

variables {
  name           = "feira-test"
  account_id     = "123456789012"
  region         = "eu-central-1"
  key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/1"
  kept           = true
  subnets        = ["subnet-1", "subnet-2", "subnet-3"]
  security_group = "sg-1"
}

run "warehouse" {
  command = plan
  module { source = "./modules/warehouse" }
  variables {
    database = "warehouse"
    role_arn = "arn:aws:iam::123456789012:role/redshift"
    capacity = { base = 8, most = 16, monthly = 100 }
  }
  assert {
    condition     = !aws_redshiftserverless_workgroup.this.publicly_accessible && aws_redshiftserverless_workgroup.this.enhanced_vpc_routing
    error_message = "The warehouse is reached from the Internet, or reads S3 through it."
  }
  assert {
    condition     = contains([for each in aws_redshiftserverless_workgroup.this.config_parameter : "${each.parameter_key}=${each.parameter_value}"], "require_ssl=true")
    error_message = "The warehouse takes connections without TLS."
  }
  assert {
    condition     = length(aws_redshiftserverless_workgroup.this.config_parameter) == 9
    error_message = "A parameter that AWS returns is not named: every plan would have a difference."
  }
  assert {
    condition     = aws_redshiftserverless_namespace.this.kms_key_id == var.key_arn && aws_redshiftserverless_namespace.this.manage_admin_password
    error_message = "The warehouse is not encrypted with our key, or somebody knows its administrator's password."
  }
  assert {
    condition     = aws_redshiftserverless_usage_limit.monthly.breach_action == "deactivate"
    error_message = "Nothing turns the warehouse off at its monthly limit."
  }
}

run "kafka" {
  command = plan
  module { source = "./modules/kafka" }
  variables {
    user     = "feira"
    size     = { type = "kafka.m7g.large", per_zone = 1, disk = 100 }
    log_days = 30
  }
  assert {
    condition     = !one(aws_msk_cluster.this.client_authentication).unauthenticated && one(one(aws_msk_cluster.this.client_authentication).sasl).scram
    error_message = "Kafka takes clients without a password."
  }
  assert {
    condition     = one(one(aws_msk_cluster.this.encryption_info).encryption_in_transit).client_broker == "TLS"
    error_message = "Kafka takes connections without TLS."
  }
  assert {
    condition     = one(one(one(aws_msk_cluster.this.broker_node_group_info).connectivity_info).public_access).type == "DISABLED"
    error_message = "Kafka is reached from the Internet."
  }
  assert {
    condition     = contains(split("\n", aws_msk_configuration.this.server_properties), "log.message.timestamp.after.max.ms=3600000") && !can(regex("before.max", aws_msk_configuration.this.server_properties))
    error_message = "Kafka takes messages of the far future, or none of a day of long ago."
  }
}

run "valkey" {
  command = plan
  module { source = "./modules/valkey" }
  variables {
    user = "recommendations"
    size = { type = "cache.r7g.large", nodes = 2 }
  }
  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.at_rest_encryption_enabled
    error_message = "Valkey takes connections without TLS, or keeps lists in the clear."
  }
  assert {
    condition     = one(aws_elasticache_user.this.authentication_mode).type == "iam" && aws_elasticache_user.this.user_name == aws_elasticache_user.this.user_id
    error_message = "A group of Valkey's takes no user without IAM or a password, and one of IAM's has one name."
  }
  assert {
    condition     = aws_elasticache_user.this.access_string == "off -@all"
    error_message = "Valkey's user may do something before it has its password."
  }
  assert {
    condition     = aws_elasticache_replication_group.this.final_snapshot_identifier != null && aws_elasticache_replication_group.this.multi_az_enabled
    error_message = "Nothing is left of Valkey after a destroy, or after a zone has failed."
  }
}

run "database" {
  command = plan
  module { source = "./modules/database" }
  variables {
    size = { class = "db.m7g.large", disk = 100, most = 500, twice = true }
  }
  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.storage_encrypted
    error_message = "Airflow's database is reached from the Internet, or is kept in the clear."
  }
  assert {
    condition     = contains([for each in aws_db_parameter_group.this.parameter : "${each.name}=${each.value}"], "rds.force_ssl=1")
    error_message = "Airflow's database takes connections without TLS."
  }
  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.multi_az
    error_message = "A destroy takes Airflow's database along, or a zone that fails does."
  }
}

run "key" {
  command = plan
  module { source = "./modules/key" }
  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30
    error_message = "The key is never changed, or is gone before somebody notices."
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_kms_key.this.policy).Statement :
      can(statement.Condition) || statement.Principal == { AWS = "arn:aws:iam::123456789012:root" }
    ])
    error_message = "Another account or an unconditional service may use the key."
  }
}
