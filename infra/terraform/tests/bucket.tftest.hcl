mock_provider "aws" { source = "./tests/mocks" }

run "nobody_outside" {
  command = plan
  module { source = "./modules/bucket" }
  variables {
    name         = "a-lake"
    kept         = true
    key_arn      = "arn:aws:kms:eu-central-1:123456789012:key/1"
    deleted_days = 30
    log_to       = { bucket = "a-log" }
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "The bucket can be made public."
  }
  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "What is deleted cannot be had back."
  }
  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    error_message = "The bucket is not encrypted with our key."
  }
  assert {
    condition     = !aws_s3_bucket.this.force_destroy
    error_message = "A destroy would take the data along."
  }
  assert {
    condition     = aws_s3_bucket_logging.this[0].target_bucket == "a-log"
    error_message = "Nobody knows who read it."
  }
}

run "thrown_away" {
  command = plan
  module { source = "./modules/bucket" }
  variables {
    name         = "a-lake"
    kept         = false
    deleted_days = 1
  }
  assert {
    condition     = aws_s3_bucket.this.force_destroy && length(aws_s3_bucket_logging.this) == 0
    error_message = "A bucket of dev stands in the way of its destroy."
  }
}
