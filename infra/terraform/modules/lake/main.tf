# The lake, and the bucket that its access is logged in.

variable "name" { type = string }
variable "account_id" { type = string }
variable "key_arn" { type = string }
variable "kept" { type = bool }
variable "log_days" { type = number }

module "logs" {
  source       = "../bucket"
  name         = "${var.name}-access-${var.account_id}"
  kept         = var.kept
  deleted_days = 1
  expire       = { "" = var.log_days }
  statements = [
    {
      Sid       = "AccessLogs"
      Effect    = "Allow"
      Principal = { Service = "logging.s3.amazonaws.com" }
      Action    = "s3:PutObject"
      Resource  = "arn:aws:s3:::${var.name}-access-${var.account_id}/*"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    },
  ]
}

module "lake" {
  source  = "../bucket"
  name    = "${var.name}-lake-${var.account_id}"
  kept    = var.kept
  key_arn = var.key_arn
  log_to  = { bucket = module.logs.name }
  # Iceberg keeps its own history; this is for the day on which somebody deletes a folder.
  deleted_days = var.kept ? 30 : 1
  # What a load stages it removes itself, but where it was killed. Tasks' logs are Airflow's.
  expire = { "staging/" = 7, "unload/" = 7, "logs/" = var.log_days }
}

output "bucket" { value = module.lake.name }
output "arn" { value = module.lake.arn }
