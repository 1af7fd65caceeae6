# A role for each component, and what it may do: no more than what it does. A pod takes the role of its service
# account (IRSA).

variable "name" { type = string }
variable "account_id" { type = string }
variable "region" { type = string }
variable "provider_arn" { type = string }
variable "issuer" { type = string }
variable "cluster" { type = string }
variable "lake_arn" { type = string }
variable "key_arn" { type = string }
variable "namespaces" {
  description = "Of the lake, as Glue's databases."
  type        = set(string)
}
variable "secrets" {
  description = "ARN by name, of the connections' secrets."
  type        = map(string)
}

locals {
  glue = "arn:aws:glue:${var.region}:${var.account_id}"
  glue_arns = concat(["${local.glue}:catalog"], flatten([
    for namespace in sort(tolist(var.namespaces)) : ["${local.glue}:database/${namespace}", "${local.glue}:table/${namespace}/*"]
  ]))

  glue_read  = ["glue:GetDatabase", "glue:GetDatabases", "glue:GetTable", "glue:GetTables"]
  glue_write = concat(local.glue_read, ["glue:CreateTable", "glue:UpdateTable", "glue:DeleteTable"])
  write      = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]

  list = {
    Sid      = "List"
    Effect   = "Allow"
    Action   = ["s3:ListBucket", "s3:GetBucketLocation"]
    Resource = [var.lake_arn]
  }
  read = {
    Sid      = "Read"
    Effect   = "Allow"
    Action   = ["s3:GetObject"]
    Resource = ["${var.lake_arn}/*"]
  }
  # The key by way of S3 alone, or of Secrets Manager: nobody decrypts anything else with it.
  key_for = {
    for service, actions in {
      s3             = ["kms:Decrypt", "kms:GenerateDataKey"]
      secretsmanager = ["kms:Decrypt"]
      } : service => {
      Sid       = "Key${service}"
      Effect    = "Allow"
      Action    = actions
      Resource  = [var.key_arn]
      Condition = { StringEquals = { "kms:ViaService" = "${service}.${var.region}.amazonaws.com" } }
    }
  }

  secrets_of = {
    for component, names in {
      airflow = keys(var.secrets)
      migrate = ["airflow/connections/warehouse_default"]
      dbt     = ["airflow/connections/warehouse_dbt"]
      } : component => {
      Sid      = "Secrets"
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = [for name in names : var.secrets[name]]
    }
  }

  components = {
    # Tasks land pages, stage rows, write reports, lists and their logs; tables are Spark's, they read them.
    airflow = {
      service_accounts = ["airflow:airflow-scheduler", "airflow:airflow-triggerer", "airflow:airflow-dag-processor", "airflow:airflow-api-server"]
      statements = [
        local.list, local.read, local.key_for["s3"], local.key_for["secretsmanager"], local.secrets_of["airflow"],
        {
          Sid      = "Write"
          Effect   = "Allow"
          Action   = local.write
          Resource = [for prefix in ["landing", "staging", "reports", "recommendations", "logs"] : "${var.lake_arn}/${prefix}/*"]
        },
        { Sid = "Catalogue", Effect = "Allow", Action = local.glue_read, Resource = local.glue_arns },
      ]
    }
    # Driver and executors: the whole lake, and no secret.
    spark = {
      service_accounts = ["spark:spark-connect", "spark:spark-connect-executor"]
      statements = [
        local.list, local.read, local.key_for["s3"],
        {
          Sid      = "Write"
          Effect   = "Allow"
          Action   = local.write
          Resource = [for prefix in ["tables", "staging", "recommendations"] : "${var.lake_arn}/${prefix}/*"]
        },
        { Sid = "Catalogue", Effect = "Allow", Action = local.glue_write, Resource = local.glue_arns },
      ]
    }
    # Makes tables anew after a deployment: by Spark in the lake, by itself in the warehouse.
    migrate = {
      service_accounts = ["airflow:feira-migrate"]
      statements       = [local.list, local.read, local.key_for["s3"], local.key_for["secretsmanager"], local.secrets_of["migrate"]]
    }
    # The marts, outside of a DAG: after a deployment.
    dbt = {
      service_accounts = ["airflow:feira-dbt"]
      statements       = [local.key_for["secretsmanager"], local.secrets_of["dbt"]]
    }
    # Reads lists from Valkey, and where that is away the last ones from the lake. Its secrets are Kubernetes'.
    serving = {
      service_accounts = ["serving:recommendations"]
      statements = [
        local.key_for["s3"],
        {
          Sid      = "Lists"
          Effect   = "Allow"
          Action   = ["s3:GetObject"]
          Resource = ["${var.lake_arn}/recommendations/*"]
        },
        # Who may not list is told of a file that is not there that he may not read it.
        {
          Sid       = "List"
          Effect    = "Allow"
          Action    = ["s3:ListBucket"]
          Resource  = [var.lake_arn]
          Condition = { StringLike = { "s3:prefix" = ["recommendations/*"] } }
        },
      ]
    }
    # Adds and removes nodes.
    autoscaler = {
      service_accounts = ["kube-system:cluster-autoscaler"]
      statements = [
        {
          Sid    = "See"
          Effect = "Allow"
          Action = [
            "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances",
            "autoscaling:DescribeLaunchConfigurations", "autoscaling:DescribeScalingActivities",
            "ec2:DescribeImages", "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplateVersions",
            "ec2:GetInstanceTypesFromInstanceRequirements", "eks:DescribeNodegroup",
          ]
          # These know no resources.
          Resource = ["*"]
        },
        {
          Sid       = "Scale"
          Effect    = "Allow"
          Action    = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
          Resource  = ["arn:aws:autoscaling:${var.region}:${var.account_id}:autoScalingGroup:*"]
          Condition = { StringEquals = { "aws:ResourceTag/eks:cluster-name" = var.cluster } }
        },
      ]
    }
  }
}

resource "aws_iam_role" "component" {
  for_each = local.components
  name     = "${var.name}-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = var.provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = { StringEquals = {
        "${var.issuer}:aud" = "sts.amazonaws.com"
        "${var.issuer}:sub" = [for account in each.value.service_accounts : "system:serviceaccount:${account}"]
      } }
    }]
  })
}

resource "aws_iam_role_policy" "component" {
  for_each = local.components
  name     = each.key
  role     = aws_iam_role.component[each.key].name
  policy   = jsonencode({ Version = "2012-10-17", Statement = each.value.statements })
}

# Redshift's own: COPY reads what a load has staged, UNLOAD writes to a folder of its own. The tables it does
# not see.
resource "aws_iam_role" "redshift" {
  name = "${var.name}-redshift"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = ["redshift.amazonaws.com", "redshift-serverless.amazonaws.com"] }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "redshift" {
  name = "copy-unload"
  role = aws_iam_role.redshift.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.key_for["s3"],
      {
        Sid       = "List"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = [var.lake_arn]
        Condition = { StringLike = { "s3:prefix" = ["staging/*", "unload/*"] } }
      },
      { Sid = "Location", Effect = "Allow", Action = ["s3:GetBucketLocation"], Resource = [var.lake_arn] },
      { Sid = "Copy", Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${var.lake_arn}/staging/*", "${var.lake_arn}/unload/*"] },
      { Sid = "Unload", Effect = "Allow", Action = ["s3:PutObject", "s3:DeleteObject"], Resource = ["${var.lake_arn}/unload/*"] },
    ]
  })
}

output "arns" { value = merge({ for name, role in aws_iam_role.component : name => role.arn }, { redshift = aws_iam_role.redshift.arn }) }
