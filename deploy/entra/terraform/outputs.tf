output "tenant_id" {
  description = "AZURE_TENANT_ID of all three programs."
  value       = data.azuread_client_config.current.tenant_id
}

output "api_client_id" {
  description = "AZURE_CLIENT_ID of the gateway, DEMO_UI_API_CLIENT_ID of the web app."
  value       = azuread_application_registration.api.client_id
}

output "ui_client_id" {
  description = "DEMO_UI_CLIENT_ID of the web app."
  value       = azuread_application_registration.ui.client_id
}

output "api_client_secret" {
  description = "AZURE_CLIENT_SECRET of the gateway; nothing where a service account stands for it."
  value       = one(azuread_application_password.api[*].value)
  sensitive   = true
}

output "ui_client_secret" {
  description = "DEMO_UI_CLIENT_SECRET of the web app."
  value       = azuread_application_password.ui.value
  sensitive   = true
}
