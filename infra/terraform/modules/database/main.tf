# PostgreSQL for Airflow's own metadata.

variable "name" { type = string }
variable "key_arn" { type = string }
variable "kept" { type = bool }
variable "subnets" { type = list(string) }
variable "security_group" { type = string }
variable "size" { type = object({ class = string, disk = number, most = number, twice = bool }) }

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnets
}

resource "aws_db_parameter_group" "this" {
  name   = var.name
  family = "postgres17"
  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
  parameter {
    name  = "log_statement"
    value = "ddl"
  }
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }
}

resource "aws_iam_role" "monitoring" {
  name = "${var.name}-database-monitoring"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_instance" "this" {
  # checkov:skip=CKV_AWS_161: Airflow connects by a password from Secrets Manager; SQLAlchemy renews no token
  identifier     = "${var.name}-airflow"
  engine         = "postgres"
  engine_version = "17"
  instance_class = var.size.class
  db_name        = "airflow"
  username       = "airflow"
  # Nobody knows this one and no state holds it: fill_secrets.py sets another. One that RDS manages would
  # change every week under Airflow, which reads its own once.
  password_wo                     = uuid()
  password_wo_version             = 1
  allocated_storage               = var.size.disk
  max_allocated_storage           = var.size.most
  storage_type                    = "gp3"
  storage_encrypted               = true
  kms_key_id                      = var.key_arn
  multi_az                        = var.size.twice
  db_subnet_group_name            = aws_db_subnet_group.this.name
  vpc_security_group_ids          = [var.security_group]
  publicly_accessible             = false
  parameter_group_name            = aws_db_parameter_group.this.name
  backup_retention_period         = var.kept ? 14 : 1
  deletion_protection             = var.kept
  skip_final_snapshot             = !var.kept
  final_snapshot_identifier       = var.kept ? "${var.name}-airflow-last" : null
  copy_tags_to_snapshot           = true
  auto_minor_version_upgrade      = true
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.key_arn
  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
}

output "host" { value = aws_db_instance.this.address }
output "identifier" { value = aws_db_instance.this.identifier }
