# Stands in the way of `terraform destroy` where AWS has no protection of its own: what the guard is made of is
# destroyed after it, and it does not let itself be destroyed while `kept` is true.

variable "kept" { type = bool }
variable "parts" {
  description = "Names of the resources that it guards: as their attributes, so that it depends on them."
  type        = list(string)
}

resource "terraform_data" "this" {
  input = { kept = var.kept, parts = join(", ", var.parts) }

  provisioner "local-exec" {
    when        = destroy
    interpreter = ["sh", "-c"]
    environment = { KEPT = self.output.kept, PARTS = self.output.parts }
    command     = "[ \"$KEPT\" = false ] || { echo \"$PARTS: kept is true. Apply with -var kept=false first.\" >&2; exit 1; }"
  }
}

output "kept" { value = terraform_data.this.output.kept }
