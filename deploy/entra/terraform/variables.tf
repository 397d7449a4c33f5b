variable "api_name" {
  description = "Name of the API."
  type        = string
  default     = "tower-obo-api"
}

variable "ui_name" {
  description = "Name of the web app."
  type        = string
  default     = "tower-obo-ui"
}

variable "ui_url" {
  description = "Where browsers find the web app, without a slash at the end."
  type        = string
  default     = "http://localhost:8000"
}

variable "federated" {
  description = "Whose tokens stand for the API, in place of a secret: a service account of a cluster."
  type = object({
    issuer   = string
    subject  = string
    audience = optional(string, "api://AzureADTokenExchange")
  })
  default = null
}

variable "admin_consent" {
  description = "Consent for everybody of the tenant."
  type        = bool
  default     = false
}
