# The two app registrations of ../README.md by Terraform or OpenTofu. Not applied for this file: it has been read, nothing more.

terraform {
  required_version = ">= 1.5"
  required_providers {
    azuread = {
      source  = "hashicorp/azuread"
      version = "~> 3.0"
    }
    time = {
      source  = "hashicorp/time"
      version = "~> 0.12"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.6"
    }
  }
}

data "azuread_client_config" "current" {}

data "azuread_service_principal" "graph" {
  client_id = "00000003-0000-0000-c000-000000000000"
}

# Azure Service Management, the same in every tenant and cloud.
data "azuread_service_principal" "azure" {
  client_id = "797f4846-ba00-4fd7-ba43-dac1f8f63013"
}

resource "random_uuid" "access_as_user" {}

# The API that the gateway stands for. Its App ID URI and the web app that it knows come later: both need its client id.
resource "azuread_application_registration" "api" {
  display_name                   = var.api_name
  sign_in_audience               = "AzureADMyOrg"
  requested_access_token_version = 2
}

resource "azuread_application_identifier_uri" "api" {
  application_id = azuread_application_registration.api.id
  identifier_uri = "api://${azuread_application_registration.api.client_id}"
}

resource "azuread_application_permission_scope" "access_as_user" {
  application_id             = azuread_application_registration.api.id
  scope_id                   = random_uuid.access_as_user.id
  value                      = "access_as_user"
  type                       = "User"
  admin_consent_display_name = "Access ${var.api_name}"
  admin_consent_description  = "Allow the application to access ${var.api_name} on behalf of the signed-in user."
  user_consent_display_name  = "Access ${var.api_name}"
  user_consent_description   = "Allow the application to access ${var.api_name} on your behalf."
}

resource "azuread_application_api_access" "api_azure" {
  application_id = azuread_application_registration.api.id
  api_client_id  = data.azuread_service_principal.azure.client_id
  scope_ids      = [data.azuread_service_principal.azure.oauth2_permission_scope_ids["user_impersonation"]]
}

# One consent at the first sign-in covers both.
resource "azuread_application_known_clients" "api" {
  application_id   = azuread_application_registration.api.id
  known_client_ids = [azuread_application_registration.ui.client_id]
}

resource "azuread_service_principal" "api" {
  client_id = azuread_application_registration.api.client_id
}

# How the API proves itself: a service account where there is one, else a secret.
resource "azuread_application_federated_identity_credential" "api" {
  count          = var.federated == null ? 0 : 1
  application_id = azuread_application_registration.api.id
  display_name   = "service-account"
  issuer         = var.federated.issuer
  subject        = var.federated.subject
  audiences      = [var.federated.audience]
}

# Secrets are good for a year from the first apply; `terraform apply -replace=time_offset.secrets_end` makes new ones. They stand
# in the state in the clear: whoever reads it can be the API and the web app.
resource "time_offset" "secrets_end" {
  offset_years = 1
}

resource "azuread_application_password" "api" {
  count          = var.federated == null ? 1 : 0
  application_id = azuread_application_registration.api.id
  display_name   = "terraform"
  end_date       = time_offset.secrets_end.rfc3339

  # The one before serves until there is another.
  lifecycle {
    create_before_destroy = true
  }
}

# The web app that signs users in.
resource "azuread_application_registration" "ui" {
  display_name     = var.ui_name
  sign_in_audience = "AzureADMyOrg"
}

resource "azuread_application_redirect_uris" "ui" {
  application_id = azuread_application_registration.ui.id
  type           = "Web"
  redirect_uris  = ["${var.ui_url}/account/callback", "${var.ui_url}/"]
}

resource "azuread_application_api_access" "ui_api" {
  application_id = azuread_application_registration.ui.id
  api_client_id  = azuread_application_registration.api.client_id
  scope_ids      = [azuread_application_permission_scope.access_as_user.scope_id]
}

resource "azuread_application_api_access" "ui_graph" {
  application_id = azuread_application_registration.ui.id
  api_client_id  = data.azuread_service_principal.graph.client_id
  scope_ids = [
    for scope in ["openid", "profile", "offline_access"] :
    data.azuread_service_principal.graph.oauth2_permission_scope_ids[scope]
  ]
}

resource "azuread_service_principal" "ui" {
  client_id = azuread_application_registration.ui.client_id
}

resource "azuread_application_password" "ui" {
  application_id = azuread_application_registration.ui.id
  display_name   = "terraform"
  end_date       = time_offset.secrets_end.rfc3339

  # The one before serves until there is another.
  lifecycle {
    create_before_destroy = true
  }
}

# Consent for everybody of the tenant.
resource "azuread_service_principal_delegated_permission_grant" "ui_api" {
  count                                = var.admin_consent ? 1 : 0
  service_principal_object_id          = azuread_service_principal.ui.object_id
  resource_service_principal_object_id = azuread_service_principal.api.object_id
  claim_values                         = [azuread_application_permission_scope.access_as_user.value]
}

resource "azuread_service_principal_delegated_permission_grant" "ui_graph" {
  count                                = var.admin_consent ? 1 : 0
  service_principal_object_id          = azuread_service_principal.ui.object_id
  resource_service_principal_object_id = data.azuread_service_principal.graph.object_id
  claim_values                         = ["openid", "profile", "offline_access"]
}

resource "azuread_service_principal_delegated_permission_grant" "api_azure" {
  count                                = var.admin_consent ? 1 : 0
  service_principal_object_id          = azuread_service_principal.api.object_id
  resource_service_principal_object_id = data.azuread_service_principal.azure.object_id
  claim_values                         = ["user_impersonation"]
}
