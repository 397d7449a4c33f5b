#!/usr/bin/env pwsh
#Requires -Version 7.0
<#
.SYNOPSIS
Makes the app registrations of the API and the web app, as register.sh does: README.md beside this file.
.DESCRIPTION
By Azure CLI, in the tenant that it is signed in to (az login --tenant TENANT --allow-no-subscriptions). A second run
changes nothing. The settings go to a file, the secrets nowhere else.
#>
[CmdletBinding()]
param(
    [string] $ApiName = 'tower-obo-api',
    [string] $UiName = 'tower-obo-ui',
    [string] $UiUrl = 'http://localhost:8000',
    [ValidateSet('secret', 'certificate', 'federated')]
    [string] $Credential = 'secret',
    # PEM file with the certificate (certificate); a private key in it stays here.
    [string] $Certificate,
    # Whose tokens stand for the API (federated).
    [string] $Issuer,
    [string] $Subject,
    [string] $Audience = 'api://AzureADTokenExchange',
    [switch] $AdminConsent,
    [string] $EnvFile = (Join-Path (Split-Path $PSScriptRoot) '.env'),
    [switch] $NewSecret,
    [switch] $DryRun
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$azureServiceManagement = '797f4846-ba00-4fd7-ba43-dac1f8f63013'
$microsoftGraph = '00000003-0000-0000-c000-000000000000'
# Among the tags of each application that was made here, and what the file says of one that was not.
$mark = 'made-by-tower-obo-register'
$foundHere = '# Found by its name, not made here:'
$script:changes = 0
$script:found = @()

# What Azure CLI says, as objects.
function Read-Az {
    $said = & az @args --only-show-errors --output json
    if ($LASTEXITCODE -ne 0) { throw "az $($args[0..3] -join ' ') failed" }
    if ($said) { $said | Out-String | ConvertFrom-Json }
}

# One change: said, and made unless it is a dry run.
function Invoke-Change([string] $What, [string[]] $Arguments) {
    $script:changes++
    if ($DryRun) {
        Write-Host "would  $What"
        Write-Host "         az $($Arguments -join ' ')"
        return
    }
    Write-Host "       $What"
    # What was made a moment ago is not found everywhere in Entra ID yet; anything else is said at once.
    $notYet = 'does not exist|does not reference a valid application|Request_ResourceNotFound'
    $errors = New-TemporaryFile
    # What Azure CLI writes to standard error ends nothing by itself, in no version.
    $ErrorActionPreference = 'Continue'
    try {
        for ($try = 1; ; $try++) {
            $said = & az @Arguments --only-show-errors --output json 2>$errors
            if ($LASTEXITCODE -eq 0) { break }
            $why = "$(Get-Content -Raw $errors)".Trim()
            if ($try -ge 6 -or $why -notmatch $notYet) { throw "az $($Arguments[0..3] -join ' '): $why" }
            Start-Sleep -Seconds 5
        }
    } finally { Remove-Item $errors }
    if ($said) { $said | Out-String | ConvertFrom-Json }
}

function Find-App([string] $Name) {
    $found = @(Read-Az ad app list --filter "displayName eq '$Name'")
    if ($found.Count -gt 1) { throw "several applications are called '$Name': rename or remove all but one, or give another name" }
    if ($found.Count -eq 1) { $found[0] }
}

function Get-App([string] $AppId) { if ($AppId -notlike '<*') { Read-Az ad app show --id $AppId } }

function Set-Principal([string] $AppId, [string] $Name) {
    $found = @(if ($AppId -notlike '<*') { Read-Az ad sp list --filter "appId eq '$AppId'" })
    if ($found.Count -eq 0) { Invoke-Change "service principal of $Name" @('ad', 'sp', 'create', '--id', $AppId) | Out-Null }
}

function Get-ScopeId([string] $Resource, [string] $Value) {
    # In a dry run its service principal may be one of the things that would be made.
    if ($DryRun -and -not (Read-Az ad sp list --filter "appId eq '$Resource'")) { return "<id of $Value>" }
    for ($try = 1; ; $try++) {
        try { $principal = Read-Az ad sp show --id $Resource; break } catch { if ($try -ge 6) { throw } }
        Start-Sleep -Seconds 5
    }
    $id = $principal.oauth2PermissionScopes | Where-Object value -EQ $Value | Select-Object -ExpandProperty id
    if (-not $id) { throw "the application $Resource exposes no scope $Value in this tenant" }
    $id
}

function Set-Permission([string] $AppId, [string] $Name, [string] $Resource, [string] $What, [string[]] $Ids) {
    $app = Get-App $AppId
    $listed = @(if ($app) { $app.requiredResourceAccess | Where-Object resourceAppId -EQ $Resource | ForEach-Object { $_.resourceAccess.id } })
    $missing = @($Ids | Where-Object { $_ -notin $listed } | ForEach-Object { "$_=Scope" })
    if ($missing.Count -gt 0) {
        Invoke-Change "permission of ${Name}: $What" (@('ad', 'app', 'permission', 'add', '--id', $AppId, '--api', $Resource, '--api-permissions') + $missing) | Out-Null
    }
}

function Set-Api([string] $What, [string] $AppId, [hashtable] $Api) { Set-App $What $AppId @{ api = $Api } }

# What Azure CLI has no option for, by way of a file: quotes in arguments are not the same in every shell.
function Set-App([string] $What, [string] $AppId, [hashtable] $Properties) {
    $app = Get-App $AppId
    $id = if ($app) { $app.id } else { '<object id>' }
    $graph = (Read-Az cloud show).endpoints.microsoftGraphResourceId.TrimEnd('/')
    $body = New-TemporaryFile
    try {
        $Properties | ConvertTo-Json -Depth 8 | Set-Content -Path $body
        Invoke-Change $What @('rest', '--method', 'PATCH', '--url', "$graph/v1.0/applications/$id", '--resource', "$graph/",
            '--headers', 'Content-Type=application/json', '--body', "@$body") | Out-Null
    } finally { Remove-Item $body }
}

# By Graph itself: Azure CLI's own command takes users' consents away before it grants.
function Set-Consent([string] $Client, [string] $Name, [string] $Resource, [string] $What, [string[]] $Scopes) {
    $clientId = '<object id>'
    $resourceId = '<object id>'
    $grant = $null
    if ("$Client$Resource" -notlike '*<*') {
        $clientId = (Read-Az ad sp show --id $Client).id
        $resourceId = (Read-Az ad sp show --id $Resource).id
        $grant = Read-Az ad app permission list-grants --id $Client |
            Where-Object { $_.consentType -eq 'AllPrincipals' -and $_.resourceId -eq $resourceId } |
            Select-Object -First 1
    }
    $granted = @(if ($grant) { $grant.scope -split ' ' })
    $missing = @($Scopes | Where-Object { $_ -notin $granted })
    if ($missing.Count -eq 0) { return }
    $graph = (Read-Az cloud show).endpoints.microsoftGraphResourceId.TrimEnd('/')
    $url = "$graph/v1.0/oauth2PermissionGrants"
    $method = 'POST'
    $order = @{ clientId = $clientId; consentType = 'AllPrincipals'; resourceId = $resourceId; scope = $missing -join ' ' }
    if ($grant) {
        $url = "$url/$($grant.id)"
        $method = 'PATCH'
        $order = @{ scope = ($granted + $missing) -join ' ' }
    }
    $body = New-TemporaryFile
    try {
        $order | ConvertTo-Json | Set-Content -Path $body
        Invoke-Change "consent for everybody: $Name, $What" @('rest', '--method', $method, '--url', $url, '--resource', "$graph/",
            '--headers', 'Content-Type=application/json', '--body', "@$body") | Out-Null
    } finally { Remove-Item $body }
}

function Get-Setting([string] $Name) {
    if (Test-Path $EnvFile) {
        Get-Content $EnvFile | Where-Object { $_ -like "$Name=*" } | Select-Object -Last 1 |
            ForEach-Object { $_.Substring($Name.Length + 1).Trim("'") }
    }
}

# An application that is there is brought up to date, but it is not ours to remove unless the file knows that it is.
function Add-Found([string] $AppId, [string] $Name, [string] $IdSetting) {
    if ((Get-Setting $IdSetting) -ne $AppId) {
        Write-Host "found  $Name  ${AppId}: it was there before, and $EnvFile does not know it"
        $script:found += $AppId
    } elseif ((Get-Content $EnvFile) -contains "$foundHere $AppId") {
        $script:found += $AppId
    }
}

# Other registrations that the file knows would lose their secrets with it.
function Assert-OwnFile([string] $AppId, [string] $IdSetting) {
    $known = Get-Setting $IdSetting
    if ($known -and $known -ne $AppId -and (Read-Az ad app list --filter "appId eq '$known'")) {
        throw "$EnvFile has the settings of another application, $known, and stays as it is: -EnvFile names another file"
    }
}

function Get-Secret([string] $AppId, [string] $Name, [string] $Known) {
    if ($Known -and -not $NewSecret) { return $Known }
    $app = Get-App $AppId
    $there = @(if ($app) { $app.passwordCredentials | Where-Object displayName -EQ 'register.sh' })
    if ($there.Count -gt 0 -and -not $NewSecret) {
        throw "$Name has a client secret of register.sh already, which nobody can read again, and $EnvFile does not have it: -NewSecret makes another"
    }
    $made = Invoke-Change "client secret of $Name, good for a year" @('ad', 'app', 'credential', 'reset', '--id', $AppId, '--append', '--display-name', 'register.sh', '--years', '1')
    if ($made) { $made.password }
}

if (-not (Get-Command az -ErrorAction SilentlyContinue)) { throw 'Azure CLI (az) is not installed: https://learn.microsoft.com/cli/azure/install-azure-cli' }
if ($Credential -eq 'certificate' -and -not ($Certificate -and (Test-Path $Certificate))) { throw '-Credential certificate needs -Certificate with a PEM file' }
# What is written is read by shells, in single quotes.
if ($Certificate -like "*'*") { throw 'the path of the certificate must have no quotes' }
# The secrets will stand in this file and nowhere else: before anything is made it is known that they can.
$envFolder = Split-Path $EnvFile
if ((Test-Path $EnvFile -PathType Container) -or ($envFolder -and -not (Test-Path $envFolder -PathType Container))) {
    throw "-EnvFile $EnvFile can't be written: its folder must be there"
}
$ownFile = (Test-Path $EnvFile) -and (Get-Item $EnvFile -Force).Length -gt 0
if ($ownFile -and (Get-Content $EnvFile -TotalCount 1) -notmatch 'written by register.sh') {
    throw "$EnvFile was not written by register.sh and stays as it is: -EnvFile names another file"
}
if ($Credential -eq 'federated' -and -not ($Issuer -and $Subject)) { throw '-Credential federated needs -Issuer and -Subject' }
$UiUrl = $UiUrl.TrimEnd('/')
try { $tenant = (Read-Az account show).tenantId } catch { throw 'nobody is signed in to Azure CLI: az login --tenant TENANT --allow-no-subscriptions' }
Write-Host "tenant $tenant"

$app = Find-App $ApiName
$uiApp = Find-App $UiName
$api = if ($app) { $app.appId } else { '<API>' }
$ui = if ($uiApp) { $uiApp.appId } else { '' }
if ($ownFile) {
    if ((Get-Setting 'AZURE_TENANT_ID') -ne $tenant) {
        throw "$EnvFile has the settings of another tenant, $(Get-Setting 'AZURE_TENANT_ID'), and stays as it is: -EnvFile names another file"
    }
    Assert-OwnFile $api 'AZURE_CLIENT_ID'
    Assert-OwnFile $ui 'DEMO_UI_CLIENT_ID'
}
if ($app) { Add-Found $api $ApiName 'AZURE_CLIENT_ID' }
if ($uiApp) { Add-Found $ui $UiName 'DEMO_UI_CLIENT_ID' }
$uiSecret = if ($uiApp -and (Get-Setting 'DEMO_UI_CLIENT_ID') -eq $ui) { Get-Setting 'DEMO_UI_CLIENT_SECRET' }
# The credential as the file has it, until it is made.
$apiSecret = if ($app -and (Get-Setting 'AZURE_CLIENT_ID') -eq $api) {
    'AZURE_CLIENT_SECRET', '# AZURE_CLIENT_SECRET' | ForEach-Object { Get-Setting $_ } | Where-Object { $_ } | Select-Object -First 1
}
# Nobody can read it again.
$unused = @(if ($apiSecret) { '# Not used now, and good until it ends.'; "# AZURE_CLIENT_SECRET='$apiSecret'" })
$lines = $unused
$endpoints = (Read-Az cloud show).endpoints
$script:written = $false

# The settings. All in quotes: the file is read by shells.
function Write-Settings {
    $settings = @(
        '# Settings of obo-gateway, demo-backend and demo-ui, written by register.sh. Keep it to yourself: secrets are in it.'
        "AZURE_TENANT_ID='$tenant'"
        "AZURE_AUTHORITY_HOST='$($endpoints.activeDirectory.TrimEnd('/'))'"
        "ARM_URL='$($endpoints.resourceManager.TrimEnd('/'))'"
        '# The gateway is the API.'
        "AZURE_CLIENT_ID='$api'"
        "OBO_SCOPE='access_as_user'"
    ) + $lines + @(
        '# The web app.'
        "DEMO_UI_CLIENT_ID='$ui'"
        "DEMO_UI_API_CLIENT_ID='$api'"
        "DEMO_UI_PUBLIC_URL='$UiUrl'"
        "DEMO_UI_CLIENT_SECRET='$uiSecret'"
        '# For deploy/compose.tenant.yaml.'
        "API_CLIENT_ID='$api'"
        "UI_CLIENT_ID='$ui'"
    ) + @($script:found | ForEach-Object { "$foundHere $_" })
    $now = if (Test-Path $EnvFile) { (Get-Content $EnvFile) -join "`n" } else { '' }
    if ($now -eq ($settings -join "`n")) { return }
    if (-not $script:written) {
        $script:written = $true
        $script:changes++
        if ($DryRun) { Write-Host "would  write $EnvFile" } else { Write-Host "       $EnvFile, for its owner alone" }
    }
    if ($DryRun) { return }
    # Of a name that nobody else knows, and its owner's alone before anything is in it.
    $aside = "$EnvFile.$([guid]::NewGuid())"
    try {
        New-Item -ItemType File -Path $aside | Out-Null
        if ($IsWindows) {
            & icacls $aside /inheritance:r /grant:r "$($env:USERNAME):F" | Out-Null
        } else {
            & chmod 600 $aside
        }
        $settings | Set-Content -Path $aside
        Move-Item -Path $aside -Destination $EnvFile -Force
    } finally { Remove-Item $aside -ErrorAction SilentlyContinue }
}

# The API.
if (-not $app) {
    $made = Invoke-Change "the API $ApiName, with tokens of version 2" @('ad', 'app', 'create', '--display-name', $ApiName, '--sign-in-audience', 'AzureADMyOrg', '--requested-access-token-version', '2')
    if ($made) { $api = $made.appId }
    Set-App "$api is marked as made here" $api @{ tags = @($mark) }
    Write-Settings
}
Set-Principal $api $ApiName
$app = Get-App $api
if ($app -and $app.api.requestedAccessTokenVersion -ne 2) {
    Invoke-Change "$ApiName is called with tokens of version 2" @('ad', 'app', 'update', '--id', $api, '--requested-access-token-version', '2') | Out-Null
}
$uris = @(if ($app) { $app.identifierUris })
if ("api://$api" -notin $uris) {
    Invoke-Change "$ApiName is called api://$api" (@('ad', 'app', 'update', '--id', $api, '--identifier-uris') + $uris + @("api://$api")) | Out-Null
}
$scopes = @(if ($app) { $app.api.oauth2PermissionScopes })
$scope = $scopes | Where-Object { $_.value -eq 'access_as_user' -and $_.isEnabled } | ForEach-Object { $_.id }
if (-not $scope) {
    $scope = [guid]::NewGuid().ToString()
    $new = @{
        id = $scope; value = 'access_as_user'; type = 'User'; isEnabled = $true
        adminConsentDisplayName = "Access $ApiName"
        adminConsentDescription = "Allow the application to access $ApiName on behalf of the signed-in user."
        userConsentDisplayName = "Access $ApiName"
        userConsentDescription = "Allow the application to access $ApiName on your behalf."
    }
    Set-Api "$ApiName has the scope access_as_user" $api @{ oauth2PermissionScopes = @($scopes) + @($new) }
}
Set-Principal $azureServiceManagement 'Azure Service Management'
Set-Permission $api $ApiName $azureServiceManagement 'Azure Service Management, user_impersonation' @(Get-ScopeId $azureServiceManagement 'user_impersonation')

# The web app.
$callbacks = @("$UiUrl/account/callback", "$UiUrl/")
$app = $uiApp
if (-not $app) {
    $ui = '<web app>'
    $made = Invoke-Change "the web app $UiName, sign-in at $($callbacks[0])" (@('ad', 'app', 'create', '--display-name', $UiName, '--sign-in-audience', 'AzureADMyOrg', '--web-redirect-uris') + $callbacks)
    if ($made) { $ui = $made.appId }
    Set-App "$ui is marked as made here" $ui @{ tags = @($mark) }
    Write-Settings
} else {
    $missing = @($callbacks | Where-Object { $_ -notin $app.web.redirectUris })
    if ($missing.Count -gt 0) {
        Invoke-Change "sign-in of $UiName at $($callbacks[0])" (@('ad', 'app', 'update', '--id', $ui, '--web-redirect-uris') + @($app.web.redirectUris) + $missing) | Out-Null
    }
}
Set-Principal $ui $UiName
Set-Permission $ui $UiName $api "$ApiName, access_as_user" @($scope)
$openid = @('openid', 'profile', 'offline_access' | ForEach-Object { Get-ScopeId $microsoftGraph $_ })
Set-Permission $ui $UiName $microsoftGraph 'Microsoft Graph, openid profile offline_access' $openid

# One consent at the first sign-in covers both.
$app = Get-App $api
$known = @(if ($app) { $app.api.knownClientApplications })
if ($ui -notin $known) { Set-Api "$ApiName knows ${UiName}: one consent covers both" $api @{ knownClientApplications = $known + @($ui) } }

# Credentials. Each secret is written as soon as it is there: nobody can read it again.
switch ($Credential) {
    'secret' {
        $secret = Get-Secret $api $ApiName $apiSecret
        $lines = @("AZURE_CLIENT_SECRET='$secret'")
        Write-Settings
    }
    'certificate' {
        $own = [System.Security.Cryptography.X509Certificates.X509Certificate2]::new((Resolve-Path $Certificate).Path)
        if ($own.Thumbprint -notin @(if ($app) { $app.keyCredentials | ForEach-Object { $_.customKeyIdentifier } })) {
            # The certificate goes there alone, without a private key that is in the same file.
            $public = '<the certificate alone>'
            if (-not $DryRun) {
                $public = New-TemporaryFile
                $base64 = [Convert]::ToBase64String($own.RawData, 'InsertLineBreaks')
                "-----BEGIN CERTIFICATE-----`n$base64`n-----END CERTIFICATE-----" | Set-Content -Path $public
            }
            try {
                Invoke-Change "certificate of $ApiName, thumbprint $($own.Thumbprint)" @('ad', 'app', 'credential', 'reset', '--id', $api, '--append', '--display-name', 'register.sh', '--cert', "@$public") | Out-Null
            } finally { if (-not $DryRun) { Remove-Item $public } }
        }
        $lines = @('# With its private key.', "OBO_CLIENT_CERTIFICATE='$((Resolve-Path $Certificate).Path)'") + $unused
    }
    'federated' {
        $there = @(if ($app) { Read-Az ad app federated-credential list --id $api | Where-Object { $_.issuer -eq $Issuer -and $_.subject -eq $Subject } })
        # Issuer and subject are there once, and the name is, too: another cluster has the same subjects.
        if ($there.Count -gt 0 -and $there[0].audiences -notcontains $Audience) {
            $body = New-TemporaryFile
            try {
                @{ audiences = @($Audience) } | ConvertTo-Json | Set-Content -Path $body
                Invoke-Change "audience of $Subject at ${ApiName}: $Audience" @('ad', 'app', 'federated-credential', 'update', '--id', $api,
                    '--federated-credential-id', $there[0].id, '--parameters', "@$body") | Out-Null
            } finally { Remove-Item $body }
        }
        if ($there.Count -eq 0) {
            $text = [System.Text.Encoding]::UTF8.GetBytes("$Issuer`n$Subject")
            $hash = [System.Convert]::ToHexString([System.Security.Cryptography.SHA256]::HashData($text)).ToLowerInvariant().Substring(0, 12)
            $slug = $Subject -replace '[^A-Za-z0-9]', '-'
            $slug = $slug.Substring(0, [Math]::Min(107, $slug.Length))
            $body = New-TemporaryFile
            try {
                @{ name = "$slug-$hash"; issuer = $Issuer; subject = $Subject; audiences = @($Audience) } | ConvertTo-Json | Set-Content -Path $body
                Invoke-Change "federated credential of ${ApiName}: $Subject" @('ad', 'app', 'federated-credential', 'create', '--id', $api, '--parameters', "@$body") | Out-Null
            } finally { Remove-Item $body }
        }
        $lines = @('# Where the token of the service account is.', "OBO_FEDERATED_TOKEN_FILE='/var/run/secrets/azure/tokens/azure-identity-token'") + $unused
    }
}
$uiSecret = Get-Secret $ui $UiName $uiSecret
Write-Settings

# Last, since it needs more rights than the rest.
if ($AdminConsent) {
    Set-Consent $ui $UiName $api $ApiName @('access_as_user')
    Set-Consent $ui $UiName $microsoftGraph 'Microsoft Graph' @('openid', 'profile', 'offline_access')
    Set-Consent $api $ApiName $azureServiceManagement 'Azure Service Management' @('user_impersonation')
}

Write-Host "$ApiName  $api"
Write-Host "$UiName  $ui"
if ($DryRun) {
    Write-Host "This was a dry run: nothing was changed. $($script:changes) changes would be made."
} elseif ($script:changes -eq 0) {
    Write-Host 'Nothing was changed: all of it was there.'
} else {
    Write-Host "Done: $($script:changes) changes."
}
