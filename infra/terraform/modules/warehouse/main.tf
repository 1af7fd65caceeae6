# Redshift Serverless: paid by the second of a query, and nothing while it idles but what it stores.

variable "name" { type = string }
variable "database" { type = string }
variable "key_arn" { type = string }
variable "role_arn" {
  description = "Of COPY and UNLOAD; the default role, so that no statement names it."
  type        = string
}
variable "subnets" { type = list(string) }
variable "security_group" { type = string }
variable "kept" { type = bool }
variable "capacity" { type = object({ base = number, most = number, monthly = number }) }

resource "aws_redshiftserverless_namespace" "this" {
  namespace_name       = var.name
  db_name              = var.database
  kms_key_id           = var.key_arn
  iam_roles            = [var.role_arn]
  default_iam_role_arn = var.role_arn
  log_exports          = ["userlog", "connectionlog", "useractivitylog"]
  admin_username       = "administrator"
  # Redshift makes the password and keeps it in Secrets Manager.
  manage_admin_password            = true
  admin_password_secret_kms_key_id = var.key_arn
}

resource "aws_redshiftserverless_workgroup" "this" {
  namespace_name       = aws_redshiftserverless_namespace.this.namespace_name
  workgroup_name       = var.name
  base_capacity        = var.capacity.base
  max_capacity         = var.capacity.most
  subnet_ids           = var.subnets
  security_group_ids   = [var.security_group]
  publicly_accessible  = false
  enhanced_vpc_routing = true

  # All that AWS returns, or each plan has a difference; the values are its own, but for the first two, which are to
  # be so wherever it changes its mind.
  dynamic "config_parameter" {
    for_each = {
      require_ssl                      = "true"
      enable_user_activity_logging     = "true"
      auto_mv                          = "true"
      datestyle                        = "ISO, MDY"
      enable_case_sensitive_identifier = "false"
      max_query_execution_time         = "14400"
      query_group                      = "default"
      search_path                      = "$user, public"
      use_fips_ssl                     = "false"
    }
    content {
      parameter_key   = config_parameter.key
      parameter_value = config_parameter.value
    }
  }

  # AWS adds parameters (in 2026 enable_large_strings_opt_in) that the provider does not know yet: every apply would
  # fail of one (terraform-provider-aws#49939). So they are set when the workgroup is made, and not looked at again.
  lifecycle { ignore_changes = [config_parameter] }
}

# AWS protects neither against deletion.
module "guard" {
  source = "../guard"
  kept   = var.kept
  parts  = [aws_redshiftserverless_namespace.this.arn, aws_redshiftserverless_workgroup.this.arn]
}

resource "aws_redshiftserverless_usage_limit" "monthly" {
  resource_arn  = aws_redshiftserverless_workgroup.this.arn
  usage_type    = "serverless-compute"
  amount        = var.capacity.monthly
  period        = "monthly"
  breach_action = "deactivate"
}

output "host" { value = aws_redshiftserverless_workgroup.this.endpoint[0].address }
output "port" { value = aws_redshiftserverless_workgroup.this.endpoint[0].port }
output "workgroup" { value = aws_redshiftserverless_workgroup.this.workgroup_name }
output "admin_secret" { value = aws_redshiftserverless_namespace.this.admin_password_secret_arn }
output "guarded" { value = module.guard.kept }
