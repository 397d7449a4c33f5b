#!/usr/bin/env pwsh
#Requires -Version 7.0
<#
.SYNOPSIS
Removes the app registrations that Register.ps1 or register.sh made, by their mark and by the settings that it wrote, with
their service principals, and nothing else.
.DESCRIPTION
By Azure CLI, in the tenant that it is signed in to. They stay in "Deleted applications" for thirty days.
#>
[CmdletBinding()]
param(
    [string] $ApiName = 'tower-obo-api',
    [string] $UiName = 'tower-obo-ui',
    [string] $EnvFile = (Join-Path (Split-Path $PSScriptRoot) '.env'),
    # Remove what is called so and has the mark, whatever the settings say.
    [switch] $ByName,
    [switch] $DryRun
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

function Read-Az {
    $said = & az @args --only-show-errors --output json
    if ($LASTEXITCODE -ne 0) { throw "az $($args[0..3] -join ' ') failed" }
    if ($said) { $said | Out-String | ConvertFrom-Json }
}

if (-not (Get-Command az -ErrorAction SilentlyContinue)) { throw 'Azure CLI (az) is not installed: https://learn.microsoft.com/cli/azure/install-azure-cli' }
try { $tenant = (Read-Az account show).tenantId } catch { throw 'nobody is signed in to Azure CLI: az login --tenant TENANT --allow-no-subscriptions' }
Write-Host "tenant $tenant"

# Whose they are the file says: a name can be anybody's.
$content = @(if (Test-Path $EnvFile) { Get-Content $EnvFile })
$ownFile = $content.Count -gt 0 -and $content[0] -match 'written by register.sh'
function Get-Setting([string] $Name) {
    $content | Where-Object { $_ -like "$Name=*" } | Select-Object -Last 1 |
        ForEach-Object { $_.Substring($Name.Length + 1).Trim("'") }
}
$fileIds = @()
if ($ownFile) {
    $known = Get-Setting 'AZURE_TENANT_ID'
    if ($known -ne $tenant) { throw "$EnvFile is of another tenant, ${known}: az login --tenant $known, or another -EnvFile" }
    $fileIds = @((Get-Setting 'DEMO_UI_CLIENT_ID'), (Get-Setting 'AZURE_CLIENT_ID') | Where-Object { $_ })
}
$ours = @($fileIds | Where-Object { $content -notcontains "# Found by its name, not made here: $_" })

$gone = 0
$kept = 0
$removed = @()
# Both are looked at before either is removed.
$apps = @(foreach ($name in @($UiName, $ApiName)) {
    $found = @(Read-Az ad app list --filter "displayName eq '$name'")
    if ($found.Count -gt 1) { throw "several applications are called '$name': remove the right one by hand" }
    $found
})
foreach ($app in $apps) {
    $what = "$($app.displayName)  $($app.appId)"
    if ($app.tags -notcontains 'made-by-tower-obo-register') {
        $kept++
        Write-Host "kept   ${what}: Register.ps1 did not make it"
    } elseif ($app.appId -notin $ours -and -not $ByName) {
        $kept++
        Write-Host "kept   ${what}: $EnvFile does not say that it was made there; -ByName removes it"
    } else {
        $gone++
        $removed += $app.appId
        if ($DryRun) {
            Write-Host "would  remove $what"
        } else {
            Write-Host "       removed: $what"
            Read-Az ad app delete --id $app.appId | Out-Null
        }
    }
}
# The file is the only place of its secrets: it goes once both of its applications are gone.
if ($ownFile) {
    $needed = @($fileIds | Where-Object { $_ -notin $removed -and (Read-Az ad app list --filter "appId eq '$_'") })
    if ($needed.Count -gt 0) {
        $kept++
        Write-Host "kept   ${EnvFile}: its application $($needed[0]) is still there"
    } else {
        $gone++
        if ($DryRun) {
            Write-Host "would  remove $EnvFile"
        } else {
            Write-Host "       removed: $EnvFile"
            Remove-Item $EnvFile
        }
    }
}
if ($DryRun) {
    Write-Host "This was a dry run: nothing was removed. $gone things would be."
} elseif ($kept -gt 0) {
    throw "$gone things were removed, $kept were kept, as said above"
} elseif ($gone -eq 0) {
    Write-Host 'Nothing was removed: there was nothing of it.'
} else {
    Write-Host "Done: $gone things are gone."
}
