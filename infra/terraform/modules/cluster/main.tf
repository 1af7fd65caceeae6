# Kubernetes. A pod's rights come from its service account (IRSA), and from nowhere else: the nodes' own role
# has next to none, and pods do not reach it.

variable "name" { type = string }
variable "kubernetes" { type = string }
variable "key_arn" { type = string }
variable "subnets" { type = list(string) }
variable "nodes_group" { type = string }
variable "administrators" { type = set(string) }
variable "api_from" { type = set(string) }
variable "log_days" { type = number }
variable "nodes" {
  type = map(object({ instance_types = list(string), capacity = string, least = number, most = number }))
}

locals {
  # GB of a node's disk, and GiB of it that pods may ask for: the rest is images, the system and the kubelet's tenth.
  disk     = 100
  for_pods = 85
  managed  = "arn:aws:iam::aws:policy"
  issuer   = replace(aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://", "")
  # What AWS's own parts of a cluster do in its name.
  addons = {
    "vpc-cni"            = { service_account = "aws-node", policy = "${local.managed}/AmazonEKS_CNI_Policy" }
    "aws-ebs-csi-driver" = { service_account = "ebs-csi-controller-sa", policy = "${local.managed}/service-role/AmazonEBSCSIDriverPolicy" }
  }
}

resource "aws_cloudwatch_log_group" "cluster" {
  # The name is EKS's, which would make it itself, and keep it for ever.
  name              = "/aws/eks/${var.name}/cluster"
  retention_in_days = var.log_days
  kms_key_id        = var.key_arn
}

resource "aws_iam_role" "cluster" {
  name = "${var.name}-cluster"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "eks.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "${local.managed}/AmazonEKSClusterPolicy"
}

resource "aws_eks_cluster" "this" {
  # checkov:skip=CKV_AWS_39: Where api_from names networks, people reach the API from those; with none, from inside alone
  name     = var.name
  version  = var.kubernetes
  role_arn = aws_iam_role.cluster.arn
  # The add-ons below are all that it has; EKS's own copies of them would be in their way.
  bootstrap_self_managed_addons = false
  enabled_cluster_log_types     = ["api", "audit", "authenticator", "controllerManager", "scheduler"]

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = false
  }

  vpc_config {
    subnet_ids              = var.subnets
    endpoint_private_access = true
    endpoint_public_access  = length(var.api_from) > 0
    public_access_cidrs     = length(var.api_from) > 0 ? var.api_from : null
  }

  encryption_config {
    resources = ["secrets"]
    provider { key_arn = var.key_arn }
  }

  depends_on = [aws_iam_role_policy_attachment.cluster, aws_cloudwatch_log_group.cluster]
}

resource "aws_eks_access_entry" "administrator" {
  for_each      = var.administrators
  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.key
}

resource "aws_eks_access_policy_association" "administrator" {
  for_each      = var.administrators
  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.key
  policy_arn    = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
  access_scope { type = "cluster" }
  depends_on = [aws_eks_access_entry.administrator]
}

resource "aws_iam_openid_connect_provider" "this" {
  url            = aws_eks_cluster.this.identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "addon" {
  for_each = local.addons
  name     = "${var.name}-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = aws_iam_openid_connect_provider.this.arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = { StringEquals = {
        "${local.issuer}:sub" = "system:serviceaccount:kube-system:${each.value.service_account}"
        "${local.issuer}:aud" = "sts.amazonaws.com"
      } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "addon" {
  for_each   = local.addons
  role       = aws_iam_role.addon[each.key].name
  policy_arn = each.value.policy
}

# Before the nodes, which are not ready without the one and reach no service without the other.
resource "aws_eks_addon" "before_nodes" {
  for_each                 = toset(["vpc-cni", "kube-proxy"])
  cluster_name             = aws_eks_cluster.this.name
  addon_name               = each.key
  service_account_role_arn = try(aws_iam_role.addon[each.key].arn, null)
  # The charts' network policies hold only where it enforces them.
  configuration_values = each.key == "vpc-cni" ? jsonencode({ enableNetworkPolicy = "true" }) : null
  depends_on           = [aws_iam_role_policy_attachment.addon]
}

# After them: these wait for a node to run on.
resource "aws_eks_addon" "on_nodes" {
  for_each                 = toset(["coredns", "aws-ebs-csi-driver"])
  cluster_name             = aws_eks_cluster.this.name
  addon_name               = each.key
  service_account_role_arn = try(aws_iam_role.addon[each.key].arn, null)
  depends_on               = [aws_eks_node_group.this, aws_iam_role_policy_attachment.addon]
}

resource "aws_iam_role" "node" {
  name = "${var.name}-node"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each   = toset(["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"])
  role       = aws_iam_role.node.name
  policy_arn = "${local.managed}/${each.key}"
}

resource "aws_launch_template" "node" {
  name                   = "${var.name}-node"
  update_default_version = true
  vpc_security_group_ids = [aws_eks_cluster.this.vpc_config[0].cluster_security_group_id, var.nodes_group]

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
    # One hop: a pod's packet does not arrive, so that no pod takes the node's role.
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size           = local.disk
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.name}-node" }
  }
}

resource "aws_eks_node_group" "this" {
  for_each        = var.nodes
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = each.key
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = var.subnets
  instance_types  = each.value.instance_types
  capacity_type   = each.value.capacity
  # pgpq, which loads the warehouse twice as fast, has no wheel for Linux on ARM.
  ami_type = "AL2023_x86_64_STANDARD"
  labels   = { "feira/nodes" = each.key }
  # Of a group without a node the autoscaler knows type, labels and taints, and no disk: a pod that asks for some, as
  # executors do, would wait for ever (kubernetes/autoscaler#1650).
  tags = { "k8s.io/cluster-autoscaler/node-template/resources/ephemeral-storage" = "${local.for_pods}Gi" }

  launch_template {
    id      = aws_launch_template.node.id
    version = aws_launch_template.node.latest_version
  }

  scaling_config {
    min_size     = each.value.least
    max_size     = each.value.most
    desired_size = each.value.least
  }

  # What is not Spark does not start on nodes that may be gone in two minutes.
  dynamic "taint" {
    for_each = each.key == "spark" ? [1] : []
    content {
      key    = "feira/nodes"
      value  = "spark"
      effect = "NO_SCHEDULE"
    }
  }

  # The autoscaler sets it.
  lifecycle { ignore_changes = [scaling_config[0].desired_size] }
  depends_on = [aws_iam_role_policy_attachment.node, aws_eks_addon.before_nodes]
}

output "name" { value = aws_eks_cluster.this.name }
output "issuer" { value = local.issuer }
output "provider_arn" { value = aws_iam_openid_connect_provider.this.arn }
