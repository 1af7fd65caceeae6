# The bucket that the states are kept in; applied once for each account, before everything else. Its own state
# is a local file: what it holds can be imported again by name.

variable "environment" { type = string }
variable "account_id" { type = string }
variable "region" { type = string }
variable "kept" {
  type    = bool
  default = true
}

terraform {
  required_version = ">= 1.11, < 2"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]
}

module "key" {
  source     = "../modules/key"
  name       = "feira-${var.environment}-state"
  account_id = var.account_id
  region     = var.region
  kept       = var.kept
}

module "bucket" {
  # checkov:skip=CKV_AWS_18: Who reads a state is in CloudTrail; a log bucket would have to come before the first
  source       = "../modules/bucket"
  name         = "feira-${var.environment}-state-${var.account_id}"
  kept         = var.kept
  key_arn      = module.key.arn
  deleted_days = 90
}

output "bucket" { value = module.bucket.name }
