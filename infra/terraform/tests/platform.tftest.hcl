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
