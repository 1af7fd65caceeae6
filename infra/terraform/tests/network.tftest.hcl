mock_provider "aws" { source = "./tests/mocks" }

variables {
  name             = "feira-test"
  region           = "eu-central-1"
  cidr             = "10.20.0.0/16"
  zones            = ["a", "b", "c"]
  nat_per_zone     = true
  private_services = ["sts"]
  key_arn          = "arn:aws:kms:eu-central-1:123456789012:key/1"
  log_days         = 30
  stores           = { warehouse = 5439, kafka = 9096, valkey = 6379, database = 5432 }
}

run "prod" {
  command = plan
  module { source = "./modules/network" }
  assert {
    condition     = [for subnet in aws_subnet.private : subnet.cidr_block] == ["10.20.16.0/20", "10.20.32.0/20", "10.20.48.0/20"]
    error_message = "The private subnets are elsewhere."
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 3
    error_message = "A zone that fails takes the way out of the others along."
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.store : rule.cidr_ipv4 == null && rule.from_port == rule.to_port])
    error_message = "A store is reached by more than the nodes, or on more than its port."
  }
  assert {
    condition     = { for name, rule in aws_vpc_security_group_ingress_rule.store : name => rule.from_port } == { warehouse = 5439, kafka = 9096, valkey = 6379, database = 5432, services = 443 }
    error_message = "A store is not reached on its port."
  }
}

run "dev" {
  command = plan
  module { source = "./modules/network" }
  variables { nat_per_zone = false }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.private) == 3
    error_message = "One way out for all three zones."
  }
}
