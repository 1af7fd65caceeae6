# What AWS alone can see: its own parts, and what they cost. Days and figures are watched by the platform.

variable "name" { type = string }
variable "key_arn" { type = string }
variable "mails" { type = set(string) }
variable "budget" { type = number }
variable "alarms" {
  description = "By name: what is measured, of what, or asked by a query of Metrics Insights, and from where on it is too much (or, with `below`, too little)."
  type = map(object({
    namespace  = optional(string)
    metric     = optional(string)
    dimensions = optional(map(string))
    query      = optional(string)
    limit      = number
    below      = optional(bool, false)
    statistic  = optional(string, "Average")
    says       = string
  }))
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.key_arn
}

resource "aws_sns_topic_subscription" "mail" {
  for_each  = var.mails
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = var.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.says
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.query == null ? each.value.statistic : null
  comparison_operator = each.value.below ? "LessThanThreshold" : "GreaterThanThreshold"
  threshold           = each.value.limit
  period              = each.value.query == null ? 300 : null
  evaluation_periods  = 3
  treat_missing_data  = "missing"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  dynamic "metric_query" {
    for_each = each.value.query == null ? [] : [each.value.query]
    content {
      id          = "asked"
      expression  = metric_query.value
      period      = 300
      return_data = true
    }
  }
}

resource "aws_budgets_budget" "monthly" {
  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.budget)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  notification {
    comparison_operator        = "GREATER_THAN"
    notification_type          = "ACTUAL"
    threshold                  = 80
    threshold_type             = "PERCENTAGE"
    subscriber_email_addresses = var.mails
  }
  notification {
    comparison_operator        = "GREATER_THAN"
    notification_type          = "FORECASTED"
    threshold                  = 100
    threshold_type             = "PERCENTAGE"
    subscriber_email_addresses = var.mails
  }
}
