#!/usr/bin/env pwsh
#Requires -Version 7.0
<#
.SYNOPSIS
Removes the app registrations that Register.ps1 or register.sh made, with their service principals, and nothing else.
.DESCRIPTION
By Azure CLI, in the tenant that it is signed in to. They stay in "Deleted applications" for thirty days.
#>
[CmdletBinding()]
param(
    [string] $ApiName = 'tower-obo-api',
    [string] $UiName = 'tower-obo-ui',
    [string] $EnvFile = (Join-Path (Split-Path $PSScriptRoot) '.env'),
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

$gone = 0
foreach ($name in @($UiName, $ApiName)) {
    $found = @(Read-Az ad app list --filter "displayName eq '$name'")
    if ($found.Count -gt 1) { throw "several applications are called '$name': remove the right one by hand" }
    foreach ($app in $found) {
        $gone++
        if ($DryRun) {
            Write-Host "would  remove $name  $($app.appId)"
        } else {
            Write-Host "       removed: $name  $($app.appId)"
            Read-Az ad app delete --id $app.appId | Out-Null
        }
    }
}
# Somebody else's settings are not ours to remove.
if ((Test-Path $EnvFile) -and (Get-Content $EnvFile -TotalCount 1) -match 'written by register.sh') {
    $gone++
    if ($DryRun) {
        Write-Host "would  remove $EnvFile"
    } else {
        Write-Host "       removed: $EnvFile"
        Remove-Item $EnvFile
    }
}
if ($DryRun) {
    Write-Host "This was a dry run: nothing was removed. $gone things would be."
} elseif ($gone -eq 0) {
    Write-Host 'Nothing was removed: there was nothing of it.'
} else {
    Write-Host "Done: $gone things are gone."
}
