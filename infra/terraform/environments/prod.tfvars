environment = "prod"
account_id  = "123456789012"
region      = "eu-central-1"
cidr        = "10.20.0.0/16"
kept        = true

nat_per_zone     = true
private_services = ["secretsmanager", "glue", "sts", "logs", "ecr.api", "ecr.dkr"]
administrators   = ["arn:aws:iam::123456789012:role/platform-administrator"]

nodes = {
  platform = { instance_types = ["m6i.xlarge"], capacity = "ON_DEMAND", least = 3, most = 6 }
  # From none: nobody pays for executors that do not run.
  spark = { instance_types = ["r6i.2xlarge", "r7i.2xlarge"], capacity = "SPOT", least = 0, most = 50 }
}

warehouse = { base = 8, most = 64, monthly = 1000 }
kafka     = { type = "kafka.m7g.large", per_zone = 1, disk = 500 }
valkey    = { type = "cache.r7g.large", nodes = 2 }
database  = { class = "db.m7g.large", disk = 100, most = 500, twice = true }

log_days  = 365
alarms_to = ["data-platform@example.com"]
budget    = 4000

shop_api = { host = "shop.example.com" }
mail     = { from = "Feira <feira@example.com>", to = ["data@example.com"] }
