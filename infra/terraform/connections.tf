# The Airflow connections, in the form in which Airflow takes them from AIRFLOW_CONN_… and from a secret. No
# password is among them: each is in the secret that the output's name stands for, airflow/connections/<id>,
# and fill_secrets.py puts the two together.

locals {
  # By name, since the secrets come before what the connections lead to. A test holds these to the platform's.
  connection_ids = [
    "shop_api", "lake_default", "spark_default", "warehouse_default", "warehouse_dbt", "warehouse_reader",
    "smtp_default", "slack_default", "kafka_default", "valkey_default",
  ]

  connections = {
    shop_api = {
      conn_type = "http"
      host      = var.shop_api.host
      schema    = var.shop_api.schema
      port      = var.shop_api.port
    }
    # No key: the service account's role.
    lake_default = {
      conn_type = "aws"
      extra = {
        region_name    = var.region
        service_config = { s3 = { bucket_name = module.lake.bucket } }
      }
    }
    spark_default = {
      conn_type = "spark_connect"
      host      = "sc://spark-connect.spark.svc.cluster.local"
      port      = 15002
    }
    warehouse_default = merge(local.redshift, { login = "warehouse_loader" })
    warehouse_dbt     = merge(local.redshift, { login = "dbt" })
    warehouse_reader  = merge(local.redshift, { login = "reader" })
    smtp_default = {
      conn_type = "smtp"
      host      = "email-smtp.${var.region}.amazonaws.com"
      port      = 587
      # Port 587 begins in the clear and turns to TLS.
      extra = { from_email = var.mail.from, to_email = var.mail.to, disable_ssl = true }
    }
    slack_default = {
      conn_type = "slackwebhook"
      host      = "https://hooks.slack.com/services"
    }
    kafka_default = {
      conn_type = "kafka"
      extra = {
        "bootstrap.servers" = module.kafka.brokers
        "security.protocol" = "SASL_SSL"
        "sasl.mechanism"    = "SCRAM-SHA-512"
        "sasl.username"     = local.kafka_user
      }
    }
    valkey_default = {
      conn_type = "redis"
      host      = module.valkey.host
      port      = 6379
      login     = module.valkey.user_id
      extra     = { ssl = true }
    }
  }

  redshift = {
    conn_type = "redshift"
    host      = module.warehouse.host
    port      = module.warehouse.port
    schema    = local.database
  }
}

output "AIRFLOW_CONN_SHOP_API" { value = jsonencode(local.connections.shop_api) }
output "AIRFLOW_CONN_LAKE_DEFAULT" { value = jsonencode(local.connections.lake_default) }
output "AIRFLOW_CONN_SPARK_DEFAULT" { value = jsonencode(local.connections.spark_default) }
output "AIRFLOW_CONN_WAREHOUSE_DEFAULT" { value = jsonencode(local.connections.warehouse_default) }
output "AIRFLOW_CONN_WAREHOUSE_DBT" { value = jsonencode(local.connections.warehouse_dbt) }
output "AIRFLOW_CONN_WAREHOUSE_READER" { value = jsonencode(local.connections.warehouse_reader) }
output "AIRFLOW_CONN_SMTP_DEFAULT" { value = jsonencode(local.connections.smtp_default) }
output "AIRFLOW_CONN_SLACK_DEFAULT" { value = jsonencode(local.connections.slack_default) }
output "AIRFLOW_CONN_KAFKA_DEFAULT" { value = jsonencode(local.connections.kafka_default) }
output "AIRFLOW_CONN_VALKEY_DEFAULT" { value = jsonencode(local.connections.valkey_default) }
