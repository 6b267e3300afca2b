output "senders_post_to" {
  description = "The address that senders post to; the source's name goes behind it."
  value       = aws_cloudformation_stack.longstop.outputs["SendersPostTo"]
}

output "operator_role" {
  description = "The role of consoles, of the command line and of servers."
  value       = aws_cloudformation_stack.longstop.outputs["OperatorRole"]
}

output "alarm_topic" {
  description = "Who subscribes to it is told of alarms."
  value       = aws_cloudformation_stack.longstop.outputs["AlarmTopic"]
}
