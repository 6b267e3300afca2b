# Longstop on AWS: deploys the very template that `longstop aws template` writes, so that there is one truth of what is
# needed. Terraform has it as one resource; what it makes keeps to docs/stores/aws.md.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

locals {
  template = yamldecode(file(var.template))
  given = {
    CodeBucket = var.code_bucket
    CodeKey    = aws_s3_object.functions.key
    EventBus   = var.event_bus
    SecretName = var.secret_name
  }
}

# Named by what is in it: a new archive is a new name, by which CloudFormation sees that the functions have changed.
resource "aws_s3_object" "functions" {
  bucket = var.code_bucket
  key    = "${var.name}/${filesha256(var.functions)}.zip"
  source = var.functions
}

resource "aws_cloudformation_stack" "longstop" {
  name          = var.name
  template_body = file(var.template)
  capabilities  = ["CAPABILITY_IAM"]
  tags          = var.tags

  # The template has those parameters alone that its configuration needs.
  parameters = {
    for name, value in local.given : name => value
    if value != null && contains(keys(lookup(local.template, "Parameters", {})), name)
  }

  lifecycle {
    precondition {
      condition     = !contains(keys(local.template), "Transform")
      error_message = "Found a template for SAM; expected one of: longstop aws template --format cloudformation --json."
    }
    precondition {
      condition     = length(file(var.template)) <= 51200
      error_message = "CloudFormation takes 51,200 bytes; expected the shorter form: longstop aws template --format cloudformation --json."
    }
    precondition {
      condition     = var.event_bus != null || !contains(keys(lookup(local.template, "Parameters", {})), "EventBus")
      error_message = "The configuration has a source of the kind genesys-eventbridge; expected event_bus, the name of the partner event bus."
    }
  }
}
