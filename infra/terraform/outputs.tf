# What is no connection: fill_secrets.py and the charts' values take it from here.

output "deployment" {
  value = {
    environment  = var.environment
    region       = var.region
    cluster      = module.cluster.name
    roles        = module.roles.arns
    repositories = module.images.urls
    # What the platform's jobs read beside the connections.
    lake = {
      FEIRA_LAKE         = "s3://${module.lake.bucket}"
      FEIRA_LAKE_REGION  = var.region
      FEIRA_LAKE_CATALOG = "glue"
    }
    warehouse = {
      workgroup    = module.warehouse.workgroup
      database     = local.database
      admin_secret = module.warehouse.admin_secret
    }
    kafka_secret = module.kafka.secret
    valkey_user  = module.valkey.user_id
    database     = { host = module.database.host, identifier = module.database.identifier }
  }

  precondition {
    condition     = toset(keys(local.connections)) == toset(local.connection_ids)
    error_message = "connections.tf describes other connections than connection_ids lists: one has no secret, or one no description."
  }
}
