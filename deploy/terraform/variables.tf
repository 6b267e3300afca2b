variable "name" {
  description = "Of the stack, and of the place of the functions' archives."
  type        = string
  default     = "longstop"
}

variable "template" {
  description = "The file that `longstop aws template --format cloudformation --json` has written."
  type        = string
}

variable "functions" {
  description = "The functions' archive: a .zip with longstop[aws] and longstop.toml in it."
  type        = string
}

variable "code_bucket" {
  description = "The bucket that the archive is put into: one that is there, in the same region."
  type        = string
}

variable "secret_name" {
  description = "The secret of Secrets Manager with the variables that the configuration takes from the environment."
  type        = string
  default     = "longstop"
}

variable "event_bus" {
  description = "The partner event bus of Genesys Cloud, where there is a source of the kind genesys-eventbridge."
  type        = string
  default     = null
}

variable "tags" {
  description = "Of the stack, and of all in it that can have tags."
  type        = map(string)
  default     = {}
}
