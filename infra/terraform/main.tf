# One environment of Feira on AWS, from an empty account.

locals {
  name = "feira-${var.environment}"
  # Of the lake, as the contracts have them, and where Spark stages its tables: a test compares.
  namespaces = ["recommendations", "sales", "staging", "web"]
  database   = "warehouse"
  kafka_user = "feira"
}

module "key" {
  source     = "./modules/key"
  name       = local.name
  account_id = var.account_id
  region     = var.region
  kept       = var.kept
}

module "network" {
  source           = "./modules/network"
  name             = local.name
  region           = var.region
  cidr             = var.cidr
  zones            = var.zones
  nat_per_zone     = var.nat_per_zone
  private_services = var.private_services
  key_arn          = module.key.arn
  log_days         = var.log_days
  stores           = { warehouse = 5439, kafka = 9096, valkey = 6379, database = 5432 }
}

module "lake" {
  source     = "./modules/lake"
  name       = local.name
  account_id = var.account_id
  key_arn    = module.key.arn
  kept       = var.kept
  log_days   = var.log_days
}

module "catalogue" {
  source     = "./modules/catalogue"
  bucket     = module.lake.bucket
  namespaces = local.namespaces
}

module "secrets" {
  source  = "./modules/secrets"
  names   = toset(concat([for id in local.connection_ids : "airflow/connections/${id}"], ["feira/airflow", "feira/airflow-users"]))
  key_arn = module.key.arn
  kept    = var.kept
}

module "images" {
  source  = "./modules/images"
  name    = local.name
  images  = ["airflow", "spark", "serving"]
  key_arn = module.key.arn
  kept    = var.kept
}

module "cluster" {
  source         = "./modules/cluster"
  name           = local.name
  kubernetes     = var.kubernetes
  key_arn        = module.key.arn
  subnets        = module.network.private_subnets
  nodes_group    = module.network.nodes_group
  administrators = var.administrators
  api_from       = var.api_from
  log_days       = var.log_days
  nodes          = var.nodes
}

module "roles" {
  source       = "./modules/roles"
  name         = local.name
  account_id   = var.account_id
  region       = var.region
  provider_arn = module.cluster.provider_arn
  issuer       = module.cluster.issuer
  cluster      = module.cluster.name
  lake_arn     = module.lake.arn
  key_arn      = module.key.arn
  namespaces   = local.namespaces
  secrets      = { for name, arn in module.secrets.arns : name => arn if startswith(name, "airflow/connections/") }
}

module "warehouse" {
  source         = "./modules/warehouse"
  name           = local.name
  database       = local.database
  key_arn        = module.key.arn
  role_arn       = module.roles.arns["redshift"]
  subnets        = module.network.private_subnets
  security_group = module.network.store_groups["warehouse"]
  kept           = var.kept
  capacity       = var.warehouse
}

module "kafka" {
  source         = "./modules/kafka"
  name           = local.name
  account_id     = var.account_id
  key_arn        = module.key.arn
  kept           = var.kept
  subnets        = module.network.private_subnets
  security_group = module.network.store_groups["kafka"]
  user           = local.kafka_user
  size           = var.kafka
  log_days       = var.log_days
}

module "valkey" {
  source         = "./modules/valkey"
  name           = local.name
  key_arn        = module.key.arn
  kept           = var.kept
  subnets        = module.network.private_subnets
  security_group = module.network.store_groups["valkey"]
  user           = "recommendations"
  size           = var.valkey
}

module "database" {
  source         = "./modules/database"
  name           = local.name
  key_arn        = module.key.arn
  kept           = var.kept
  subnets        = module.network.private_subnets
  security_group = module.network.store_groups["database"]
  size           = var.database
}

module "watch" {
  source  = "./modules/watch"
  name    = local.name
  key_arn = module.key.arn
  mails   = var.alarms_to
  budget  = var.budget
  alarms = merge(
    # AWS measures each broker and each node by itself, and none of all.
    {
      for broker in range(1, var.kafka.per_zone * length(var.zones) + 1) : "kafka-disk-${broker}" => {
        namespace  = "AWS/Kafka"
        metric     = "KafkaDataLogsDiskUsed"
        dimensions = { "Cluster Name" = module.kafka.cluster, "Broker ID" = tostring(broker) }
        limit      = 80
        statistic  = "Maximum"
        says       = "The disk of Kafka's broker ${broker} is over 80 % full and takes no messages at 100 %: shorten retention, or kafka.disk up."
      }
    },
    {
      for node in range(1, var.valkey.nodes + 1) : "valkey-memory-${node}" => {
        namespace  = "AWS/ElastiCache"
        metric     = "DatabaseMemoryUsagePercentage"
        dimensions = { CacheClusterId = format("%s-%03d", local.name, node) }
        limit      = 80
        statistic  = "Maximum"
        says       = "Valkey's node ${node} is over 80 % full: a larger valkey.type."
      }
    },
    {
      database-disk = {
        namespace  = "AWS/RDS"
        metric     = "FreeStorageSpace"
        dimensions = { DBInstanceIdentifier = module.database.identifier }
        limit      = 5 * 1024 * 1024 * 1024
        below      = true
        statistic  = "Minimum"
        says       = "Airflow's database has less than 5 GiB left and stops when it has none: airflow db clean, or more disk."
      }
      database-cpu = {
        namespace  = "AWS/RDS"
        metric     = "CPUUtilization"
        dimensions = { DBInstanceIdentifier = module.database.identifier }
        limit      = 85
        says       = "Airflow's database has been busy for 15 minutes: see what runs, in Performance Insights."
      }
      kafka-controller = {
        namespace  = "AWS/Kafka"
        metric     = "ActiveControllerCount"
        dimensions = { "Cluster Name" = module.kafka.cluster }
        limit      = 1
        below      = true
        statistic  = "Maximum"
        says       = "Kafka has had no controller for 15 minutes: AWS's health page."
      }
      warehouse-failed = {
        # By query: Redshift counts for each kind of statement and each database, which an alarm of one metric would
        # have to name. Where it counts a query under several sets of dimensions, the sum has it as often.
        query = "SELECT SUM(QueriesFailed) FROM \"AWS/Redshift-Serverless\" WHERE Workgroup = '${module.warehouse.workgroup}'"
        limit = 20
        says  = "More than 20 queries failed in each of three times five minutes: sys_query_history."
      }
    },
  )
}
