mock_provider "aws" { source = "./tests/mocks" }

variables {
  name         = "feira-test"
  account_id   = "123456789012"
  region       = "eu-central-1"
  provider_arn = "arn:aws:iam::123456789012:oidc-provider/issuer"
  issuer       = "issuer"
  cluster      = "feira-test"
  lake_arn     = "arn:aws:s3:::lake"
  key_arn      = "arn:aws:kms:eu-central-1:123456789012:key/1"
  namespaces   = ["sales", "staging"]
  secrets = {
    "airflow/connections/valkey_default"    = "arn:valkey"
    "airflow/connections/kafka_default"     = "arn:kafka"
    "airflow/connections/warehouse_default" = "arn:loader"
    "airflow/connections/warehouse_dbt"     = "arn:dbt"
    "airflow/connections/slack_default"     = "arn:slack"
  }
}

run "no_more_than_it_does" {
  command = plan
  module { source = "./modules/roles" }

  assert {
    condition = alltrue([
      for policy in aws_iam_role_policy.component : alltrue([
        for statement in jsondecode(policy.policy).Statement : alltrue([for action in flatten([statement.Action]) : !strcontains(action, "*")])
      ])
    ])
    error_message = "A role may do whatever a pattern matches."
  }
  assert {
    condition = alltrue([
      for name, policy in aws_iam_role_policy.component : alltrue([
        for statement in jsondecode(policy.policy).Statement : !contains(flatten([statement.Resource]), "*") || (name == "autoscaler" && statement.Sid == "See")
      ])
    ])
    error_message = "A role may do something to everything."
  }
  assert {
    condition = {
      for name, policy in aws_iam_role_policy.component : name => toset(flatten([
        for statement in jsondecode(policy.policy).Statement : statement.Resource if contains(statement.Action, "secretsmanager:GetSecretValue")
      ]))
      } == {
      airflow    = toset(["arn:valkey", "arn:kafka", "arn:loader", "arn:dbt", "arn:slack"])
      migrate    = toset(["arn:loader"])
      dbt        = toset(["arn:dbt"])
      serving    = toset([])
      spark      = toset([])
      autoscaler = toset([])
    }
    error_message = "A component reads other secrets than its own, or lacks one of them."
  }
  assert {
    condition = alltrue([
      for name, policy in aws_iam_role_policy.component : anytrue([
        for statement in jsondecode(policy.policy).Statement : contains(statement.Action, "s3:ListBucket") && contains(statement.Resource, "arn:aws:s3:::lake")
        ]) == anytrue([
        for statement in jsondecode(policy.policy).Statement : contains(statement.Action, "s3:GetObject")
      ])
    ])
    error_message = "Who reads the lake is told of a missing file that he may not read it."
  }
  assert {
    condition = [
      for statement in jsondecode(aws_iam_role_policy.component["serving"].policy).Statement : statement.Condition if contains(statement.Action, "s3:ListBucket")
    ] == [{ StringLike = { "s3:prefix" = ["recommendations/*"] } }]
    error_message = "The API lists more of the lake than what it reads."
  }
  assert {
    condition = toset(flatten([
      for name, policy in aws_iam_role_policy.component : [
        for statement in jsondecode(policy.policy).Statement : formatlist("${name}: %s", statement.Resource) if contains(statement.Action, "glue:CreateTable") && contains(statement.Action, "glue:DeleteTable")
      ]
      ])) == toset(formatlist("spark: arn:aws:glue:eu-central-1:123456789012:%s", [
      "catalog", "database/sales", "table/sales/*", "database/staging", "table/staging/*",
    ]))
    error_message = "Spark does not make and drop tables in each namespace, or another component does."
  }
  assert {
    condition = alltrue([
      for role in aws_iam_role.component : alltrue([
        for statement in jsondecode(role.assume_role_policy).Statement :
        statement.Action == "sts:AssumeRoleWithWebIdentity" && statement.Condition.StringEquals["issuer:aud"] == "sts.amazonaws.com" && length(statement.Condition.StringEquals["issuer:sub"]) > 0
      ])
    ])
    error_message = "A role can be taken by more than its service account."
  }
}
