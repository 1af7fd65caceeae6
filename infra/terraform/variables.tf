variable "environment" {
  description = "Goes into every name: dev, prod, or one of your own."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,9}$", var.environment))
    error_message = "environment must be 2 to 10 lower-case letters and digits: it goes into names of 32 characters."
  }
}

variable "account_id" {
  description = "The account that this belongs to; with the keys of any other nothing is done. An environment has an account of its own."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be twelve digits: `aws sts get-caller-identity --query Account --output text`."
  }
}

variable "region" {
  description = "Where all of it is."
  type        = string
}

variable "zones" {
  description = "Letters of three availability zones of the region: Redshift Serverless asks for three."
  type        = list(string)
  default     = ["a", "b", "c"]
  validation {
    condition     = length(distinct(var.zones)) == 3
    error_message = "zones must be three different letters."
  }
}

variable "cidr" {
  description = "Of the network, a /16."
  type        = string
}

variable "max_retries" {
  description = "How often the provider repeats a call that failed."
  type        = number
  default     = 25
}

variable "kept" {
  description = "Whether what holds data withstands `terraform destroy`: deletion protection, or a guard where AWS has none, final snapshots, buckets that must be empty, 30 days before a secret is gone."
  type        = bool
}

variable "nat_per_zone" {
  description = "A way out of the network in each zone, or one for all."
  type        = bool
}

variable "private_services" {
  description = "Services of AWS that are reached without leaving the network, each for a price by the hour and zone. S3 is always."
  type        = set(string)
  default     = []
}

variable "administrators" {
  description = "ARNs of roles that may administer the cluster."
  type        = set(string)
}

variable "api_from" {
  description = "Networks that may reach the cluster's API from outside; with none it is reached from inside alone."
  type        = set(string)
  default     = []
  validation {
    condition     = !contains(var.api_from, "0.0.0.0/0")
    error_message = "api_from must not be the whole Internet."
  }
}

variable "kubernetes" {
  description = "Version of the cluster: 1.35 is in standard support until March 2027; what is past it costs six times as much."
  type        = string
  default     = "1.35"
}

variable "nodes" {
  description = "Groups of nodes: what always runs (platform), and Spark's executors, which come and go."
  type = map(object({
    instance_types = list(string)
    capacity       = string
    least          = number
    most           = number
  }))
}

variable "warehouse" {
  description = "Redshift Serverless: base and greatest capacity in RPU, and RPU-hours a month at which it is turned off."
  type = object({
    base    = number
    most    = number
    monthly = number
  })
}

variable "kafka" {
  description = "Brokers' type, brokers in each zone, and each one's disk in GB."
  type = object({
    type     = string
    per_zone = number
    disk     = number
  })
}

variable "valkey" {
  description = "Node type, and how many nodes: one, or a primary with replicas in other zones."
  type = object({
    type  = string
    nodes = number
  })
}

variable "database" {
  description = "Airflow's metadata database: class, GB at first and at most, and whether a second zone has a standby."
  type = object({
    class = string
    disk  = number
    most  = number
    twice = bool
  })
}

variable "log_days" {
  description = "How long logs are kept."
  type        = number
}

variable "alarms_to" {
  description = "Mail addresses that alarms and the budget are sent to; each has to confirm once."
  type        = set(string)
}

variable "budget" {
  description = "US dollars a month, at 80 % and 100 % of which a mail goes out."
  type        = number
}

variable "shop_api" {
  description = "The shop's API."
  type = object({
    host   = string
    schema = optional(string, "https")
    port   = optional(number, 443)
  })
}

variable "mail" {
  description = "Sender and recipients of reports and failures, by SES in this region."
  type = object({
    from = string
    to   = list(string)
  })
}
