# The whole environment against a mocked AWS, with the values of -var-file.

mock_provider "aws" { source = "./tests/mocks" }

run "environment" {
  assert {
    condition     = !strcontains(join("", [for c in values(local.connections) : jsonencode(c)]), "password")
    error_message = "A connection among the outputs has a password."
  }
  assert {
    condition     = toset(keys(local.connections)) == toset(local.connection_ids)
    error_message = "Connections and their secrets differ."
  }
}

# As the page has it: where something is kept, nothing is destroyed before this, the end of this test included.
run "let_go" {
  variables { kept = false }
  assert {
    condition     = module.warehouse.guarded == false && module.kafka.guarded == false
    error_message = "What was let go is still in the way of a destroy."
  }
}
