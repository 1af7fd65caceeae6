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
    condition     = length(var.zones) == 3 && length(distinct(var.zones)) == 3 && alltrue([for zone in var.zones : can(regex("^[a-z]$", zone))])
    error_message = "zones must be three different lower-case letters, such as [\"a\", \"b\", \"c\"]; the region goes before each."
  }
}

variable "cidr" {
  description = "Of the network, a /16."
  type        = string
  validation {
    # What has bits behind the mask AWS would write in another way.
    condition     = try(cidrnetmask(var.cidr) == "255.255.0.0" && cidrsubnet(var.cidr, 0, 0) == var.cidr, false)
    error_message = "cidr must be an IPv4 network of 16 bits that ends in .0.0/16, such as 10.10.0.0/16: its subnets have 4,096 addresses a zone."
  }
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
  validation {
    condition     = length(var.administrators) > 0
    error_message = "administrators must name one role or more: who makes the cluster gets no rights in it by that."
  }
}

variable "api_from" {
  description = "Networks that may reach the cluster's API from outside; with none it is reached from inside alone."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for network in var.api_from : try(can(cidrhost(network, 0)) && tonumber(split("/", network)[1]) >= 8, false)])
    error_message = "api_from must be networks such as 198.51.100.0/24, each of /8 or smaller: the Internet, or a large part of it, must not reach the API."
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
  validation {
    condition     = alltrue([for group in values(var.nodes) : 0 <= group.least && group.least <= group.most && group.most >= 1])
    error_message = "nodes must have, in each group, a least of 0 or more and a most of 1 or more that is not below it."
  }
}

variable "warehouse" {
  description = "Redshift Serverless: base and greatest capacity in RPU, and RPU-hours a month at which it is turned off."
  type = object({
    base    = number
    most    = number
    monthly = number
  })
  validation {
    condition     = var.warehouse.most >= var.warehouse.base
    error_message = "warehouse.most must not be below warehouse.base: it is the greatest capacity, in RPU."
  }
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
  validation {
    condition     = var.database.most > var.database.disk
    error_message = "database.most must be above database.disk: it is what the disk may grow to, in GB."
  }
}

variable "log_days" {
  description = "How long logs are kept."
  type        = number
}

variable "alarms_to" {
  description = "Mail addresses that alarms and the budget are sent to; each has to confirm once."
  type        = set(string)
  validation {
    condition     = length(var.alarms_to) > 0 && alltrue([for address in var.alarms_to : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "alarms_to must be one mail address or more: with none nobody hears of an alarm."
  }
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
  validation {
    condition     = length(var.mail.to) > 0
    error_message = "mail.to must name one recipient or more."
  }
}
