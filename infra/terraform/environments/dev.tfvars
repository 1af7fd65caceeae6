environment = "dev"
account_id  = "123456789012"
region      = "eu-central-1"
cidr        = "10.10.0.0/16"
kept        = false

nat_per_zone   = false
administrators = ["arn:aws:iam::123456789012:role/platform-administrator"]
# Your office's or your VPN's, to reach the cluster's API: ["198.51.100.0/24"].
api_from = []

nodes = {
  platform = { instance_types = ["t3.xlarge"], capacity = "ON_DEMAND", least = 2, most = 3 }
  spark    = { instance_types = ["m6i.xlarge", "m5.xlarge"], capacity = "SPOT", least = 0, most = 4 }
}

warehouse = { base = 8, most = 8, monthly = 120 }
kafka     = { type = "kafka.t3.small", per_zone = 1, disk = 20 }
valkey    = { type = "cache.t4g.micro", nodes = 1 }
database  = { class = "db.t4g.micro", disk = 20, most = 40, twice = false }

log_days  = 30
alarms_to = ["data-platform@example.com"]
budget    = 750

shop_api = { host = "shop-staging.example.com" }
mail     = { from = "Feira dev <feira@example.com>", to = ["data@example.com"] }
