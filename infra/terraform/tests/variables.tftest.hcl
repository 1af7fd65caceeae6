# What an environment's file must not say; several at a time, each of which is refused.

mock_provider "aws" { source = "./tests/mocks" }

run "too_few" {
  command = plan
  variables {
    environment    = "my-dev"
    account_id     = "1234-5678-9012"
    zones          = ["a", "b"]
    cidr           = ""
    administrators = []
    api_from       = ["0.0.0.0/0"]
    nodes          = { platform = { instance_types = ["t3.xlarge"], capacity = "ON_DEMAND", least = 3, most = 2 } }
    warehouse      = { base = 16, most = 8, monthly = 100 }
    database       = { class = "db.t4g.micro", disk = 20, most = 20, twice = false }
    alarms_to      = []
    mail           = { from = "feira@example.com", to = [] }
  }
  expect_failures = [
    var.environment, var.account_id, var.zones, var.cidr, var.administrators, var.api_from, var.nodes, var.warehouse,
    var.database, var.alarms_to, var.mail,
  ]
}

run "too_many" {
  command = plan
  variables {
    zones     = ["a", "b", "c", "c"]
    cidr      = "10.0.0.0/8"
    api_from  = ["198.51.100.0/24", "::/0"]
    nodes     = { spark = { instance_types = ["m5.xlarge"], capacity = "SPOT", least = 0, most = 0 } }
    alarms_to = ["data-platform@example.com", "#data-platform"]
  }
  expect_failures = [var.zones, var.cidr, var.api_from, var.nodes, var.alarms_to]
}

run "not_of_the_form" {
  command = plan
  variables {
    zones    = ["eu-central-1a", "b", "c"]
    cidr     = "10.10.4.0/16"
    api_from = ["128.0.0.0/1"]
    nodes    = { spark = { instance_types = ["m5.xlarge"], capacity = "SPOT", least = -1, most = 4 } }
  }
  expect_failures = [var.zones, var.cidr, var.api_from, var.nodes]
}

run "not_of_its_family" {
  command = plan
  variables {
    zones    = ["A", "b", "c"]
    cidr     = "2001:db8::/16"
    api_from = ["2000::/3"]
  }
  expect_failures = [var.zones, var.cidr, var.api_from]
}

run "no_network" {
  command = plan
  variables {
    cidr     = "10.10.0.0"
    api_from = ["203.0.113.7"]
  }
  expect_failures = [var.cidr, var.api_from]
}

run "at_its_limits" {
  command = plan
  variables {
    environment = "qa2"
    zones       = ["b", "d", "f"]
    cidr        = "172.16.0.0/16"
    api_from    = ["203.0.113.7/32", "10.0.0.0/8", "2001:db8::/32"]
    warehouse   = { base = 8, most = 8, monthly = 1 }
  }
  assert {
    condition     = module.cluster.name == "feira-qa2"
    error_message = "What is allowed has not been planned."
  }
}
