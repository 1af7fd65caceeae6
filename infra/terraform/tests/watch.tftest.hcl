mock_provider "aws" { source = "./tests/mocks" }

run "somebody_is_told" {
  command = apply
  module { source = "./modules/watch" }
  variables {
    name    = "feira-test"
    key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
    mails   = ["somebody@example.com"]
    budget  = 600
    alarms = {
      of-one-metric = { namespace = "AWS/RDS", metric = "CPUUtilization", dimensions = { DBInstanceIdentifier = "a" }, limit = 85, says = "Busy." }
      of-a-query    = { query = "SELECT SUM(QueriesFailed) FROM \"AWS/Redshift-Serverless\"", limit = 20, says = "Failed." }
    }
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset([aws_sns_topic.alarms.arn])])
    error_message = "An alarm goes off and nobody hears of it."
  }
  assert {
    condition     = [for subscription in aws_sns_topic_subscription.mail : subscription.endpoint] == ["somebody@example.com"]
    error_message = "The topic of the alarms has no reader."
  }
  assert {
    condition     = aws_sns_topic.alarms.kms_master_key_id == var.key_arn
    error_message = "What the alarms say is kept in the clear."
  }
  assert {
    condition     = aws_budgets_budget.monthly.limit_amount == "600" && toset([for each in aws_budgets_budget.monthly.notification : "${each.notification_type} ${each.threshold}"]) == toset(["ACTUAL 80", "FORECASTED 100"])
    error_message = "The budget is another than the file's, or says nothing before it is spent."
  }
  assert {
    condition     = alltrue([for each in aws_budgets_budget.monthly.notification : each.subscriber_email_addresses == toset(["somebody@example.com"])])
    error_message = "Nobody is told what is spent."
  }
}
