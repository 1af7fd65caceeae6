# A bucket that nobody outside can read, that is spoken to by TLS alone, and whose deleted files can be had back.

variable "name" { type = string }
variable "kept" { type = bool }
variable "key_arn" {
  description = "Of KMS; none where a service that knows no key of ours writes, which leaves S3's own."
  type        = string
  default     = null
}
variable "log_to" {
  description = "The bucket that its access log goes to; none for that bucket itself."
  type        = object({ bucket = string })
  default     = null
}
variable "deleted_days" {
  description = "How long what was deleted or replaced can be had back."
  type        = number
}
variable "expire" {
  description = "Days by prefix after which a file has done its work."
  type        = map(number)
  default     = {}
}
variable "statements" {
  description = "Further statements of the bucket's policy."
  type        = any
  default     = []
}

resource "aws_s3_bucket" "this" {
  # checkov:skip=CKV2_AWS_62: Nothing waits for a file: a landing ends with its manifest, a day with its asset's event
  # checkov:skip=CKV_AWS_144: One region, as all else here; what was deleted in it can be had back by its versions
  bucket        = var.name
  force_destroy = !var.kept
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id
  rule { object_ownership = "BucketOwnerEnforced" }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    bucket_key_enabled = var.key_arn != null
    apply_server_side_encryption_by_default {
      sse_algorithm     = var.key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "deleted"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration { noncurrent_days = var.deleted_days }
    abort_incomplete_multipart_upload { days_after_initiation = 7 }
    # Of a file whose versions are all gone.
    expiration { expired_object_delete_marker = true }
  }

  dynamic "rule" {
    for_each = var.expire
    content {
      id     = "expire-${trim(replace(rule.key, "/", "-"), "-")}"
      status = "Enabled"
      filter { prefix = rule.key }
      expiration { days = rule.value }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_logging" "this" {
  count         = var.log_to == null ? 0 : 1
  bucket        = aws_s3_bucket.this.id
  target_bucket = var.log_to.bucket
  target_prefix = "s3/${var.name}/"
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid       = "TlsAlone"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ], var.statements)
  })
  depends_on = [aws_s3_bucket_public_access_block.this]
}

output "name" {
  value = aws_s3_bucket.this.bucket
  # A log bucket takes logs from when its policy lets S3 write them.
  depends_on = [aws_s3_bucket_policy.this]
}

output "arn" { value = aws_s3_bucket.this.arn }
