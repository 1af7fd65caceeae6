terraform {
  # Write-only arguments and the lock in S3 came with 1.11.
  required_version = ">= 1.11, < 2"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # Bucket, region and key by `-backend-config=environments/ENVIRONMENT.s3.tfbackend`.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]
  # A throttled call is tried again by the provider; the rest should fail while somebody looks.
  max_retries = var.max_retries

  default_tags {
    tags = {
      project     = "feira"
      environment = var.environment
      made_by     = "terraform"
    }
  }
}
