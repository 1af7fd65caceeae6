mock_provider "aws" { source = "./tests/mocks" }

variables {
  name           = "feira-test"
  kubernetes     = "1.35"
  key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/1"
  subnets        = ["subnet-1", "subnet-2", "subnet-3"]
  nodes_group    = "sg-1"
  administrators = ["arn:aws:iam::123456789012:role/administrator"]
  api_from       = []
  log_days       = 30
  nodes = {
    platform = { instance_types = ["m6i.xlarge"], capacity = "ON_DEMAND", least = 1, most = 2 }
    spark    = { instance_types = ["r6i.2xlarge"], capacity = "SPOT", least = 0, most = 50 }
  }
}

run "closed" {
  command = plan
  module { source = "./modules/cluster" }

  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "The API is reached from outside, though no network is named."
  }
  assert {
    condition     = aws_launch_template.node.metadata_options[0].http_put_response_hop_limit == 1 && aws_launch_template.node.metadata_options[0].http_tokens == "required"
    error_message = "A pod can take its node's role."
  }
  assert {
    condition     = length(aws_eks_node_group.this["spark"].taint) == 1 && length(aws_eks_node_group.this["platform"].taint) == 0
    error_message = "Airflow may start on a node that is gone in two minutes."
  }
  assert {
    condition     = aws_eks_node_group.this["spark"].tags["k8s.io/cluster-autoscaler/node-template/resources/ephemeral-storage"] == "85Gi"
    error_message = "Where no node of Spark runs the autoscaler adds none for executors, which ask for disk."
  }
  assert {
    condition     = keys(aws_eks_addon.before_nodes) == ["kube-proxy", "vpc-cni"]
    error_message = "A node starts without its network."
  }
  assert {
    condition     = keys(aws_iam_role.addon) == ["aws-ebs-csi-driver", "vpc-cni"]
    error_message = "An add-on that acts in AWS has no role of its own."
  }
}

run "from_the_office" {
  command = plan
  module { source = "./modules/cluster" }
  variables { api_from = ["198.51.100.0/24"] }
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["198.51.100.0/24"])
    error_message = "The API is not reached from there, or from elsewhere too."
  }
}
