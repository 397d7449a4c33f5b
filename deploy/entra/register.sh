#!/usr/bin/env bash
# The two app registrations of the demo, by Azure CLI, in the tenant that it is signed in to: an API that the gateway
# stands for, and a web app that signs users in and calls it. A second run changes nothing.
set -euo pipefail
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/entra/common.sh
. "$folder/common.sh"

usage() {
    cat <<'END'
register.sh [OPTION]...   make the app registrations of the API and the web app, or bring them up to date

  --api-name NAME        name of the API [default: tower-obo-api]
  --ui-name NAME         name of the web app [default: tower-obo-ui]
  --ui-url URL           where browsers find the web app [default: http://localhost:8000]
  --credential KIND      what the API proves itself with: secret, certificate or federated [default: secret]
  --certificate FILE     PEM file with the certificate (certificate); a private key in it stays here
  --issuer URL           who issues the service account's tokens (federated)
  --subject NAME         whom: system:serviceaccount:NAMESPACE:NAME (federated)
  --audience NAME        audience of those tokens [default: api://AzureADTokenExchange]
  --admin-consent        consent for everybody of the tenant; an administrator may
  --env FILE             where the settings of gateway and web app go [default: deploy/.env]; never one of somebody else
  --new-secret           make new client secrets; the old ones stay good until they end
  --dry-run              say what would be done, and do nothing
  --help                 this text

Sign in before: az login --tenant TENANT --allow-no-subscriptions
END
}

ui_url=http://localhost:8000
credential=secret certificate='' issuer='' subject='' audience=api://AzureADTokenExchange
consent=false new_secret=false env_file=$(dirname "$folder")/.env
while [ $# -gt 0 ]; do
    case $1 in
    --api-name) api_name=$(value "$@"); shift ;;
    --ui-name) ui_name=$(value "$@"); shift ;;
    --ui-url) ui_url=$(value "$@"); shift ;;
    --credential) credential=$(value "$@"); shift ;;
    --certificate) certificate=$(value "$@"); shift ;;
    --issuer) issuer=$(value "$@"); shift ;;
    --subject) subject=$(value "$@"); shift ;;
    --audience) audience=$(value "$@"); shift ;;
    --env) env_file=$(value "$@"); shift ;;
    --admin-consent) consent=true ;;
    --new-secret) new_secret=true ;;
    --dry-run) dry_run=true ;;
    --help) usage && exit ;;
    *) usage_error "there is no option $1" ;;
    esac
    shift
done
for text in "$api_name" "$ui_name" "$ui_url" "$issuer" "$subject" "$audience"; do
    plain 'a value' "$text"
done
[ "$api_name" != "$ui_name" ] || usage_error 'the API and the web app need names of their own'
ui_url=${ui_url%/}
case $ui_url in
https://?* | http://localhost | http://localhost:*) ;;
*) usage_error "--ui-url must start with https:// or http://localhost: Entra ID takes no other ($ui_url)" ;;
esac
case $credential in
secret) ;;
certificate)
    [ -r "$certificate" ] || usage_error "--credential certificate needs --certificate with a PEM file that can be read"
    certificate=$(cd "$(dirname -- "$certificate")" && pwd)/${certificate##*/}
    plain 'the path of the certificate' "$certificate"
    command -v openssl >/dev/null || fail 'openssl is not installed, by which the certificate is read'
    thumbprint=$(openssl x509 -in "$certificate" -noout -fingerprint -sha1 2>/dev/null) || fail "$certificate holds no certificate in PEM"
    thumbprint=$(printf '%s' "${thumbprint#*=}" | tr -d ':')
    ;;
federated)
    if [ -z "$issuer" ] || [ -z "$subject" ]; then
        usage_error '--credential federated needs --issuer and --subject'
    fi
    ;;
*) usage_error "--credential is secret, certificate or federated, not $credential" ;;
esac
# The secrets will stand in this file and nowhere else: before anything is made it is known that they can.
env_folder=$(dirname -- "$env_file")
if [ ! -d "$env_folder" ] || [ ! -w "$env_folder" ] || [ -d "$env_file" ]; then
    usage_error "--env $env_file can't be written: its folder must be there and be yours to write in"
fi
if [ -s "$env_file" ]; then
    [ -r "$env_file" ] || usage_error "--env $env_file can't be read"
    is_ours || usage_error "$env_file was not written by register.sh and stays as it is: --env names another file"
fi
need_az

# Something of an application, one value a line.
of_app() { # CLIENT_ID JMESPATH
    # In a dry run it may not be there.
    case $1 in '<'*) return ;; esac
    patiently az ad app show --id "$1" --query "$2" --output tsv
}

# Makes an application; sets `made` to its client id.
make_app() { # WHAT PLACEHOLDER ARGUMENT...
    local what=$1 placeholder=$2
    shift 2
    announce "$what" az ad app create "$@"
    made=$placeholder
    $dry_run || made=$(patiently az ad app create "$@" --query appId --output tsv)
    # Azure CLI has no option for tags.
    patch_app "$made is marked as made here" "$made" "{\"tags\":[\"$MARK\"]}"
}

# An application that is there is brought up to date, but it is not ours to remove unless the file knows that it is.
found_app() { # CLIENT_ID NAME ID_SETTING
    if [ "$(setting "$3")" != "$1" ]; then
        say "found  $2  $1: it was there before, and $env_file does not know it"
        found_apps+=("$1")
    elif grep -qxF -- "$FOUND_HERE $1" "$env_file"; then
        found_apps+=("$1")
    fi
}

# Other registrations that the file knows would lose their secrets with it.
not_of_others() { # CLIENT_ID ID_SETTING
    local known
    known=$(setting "$2")
    if [ -n "$known" ] && [ "$known" != "$1" ] && is_there "$known"; then
        usage_error "$env_file has the settings of another application, $known, and stays as it is: --env names another file"
    fi
}

# The service principal of an application: without one nobody can use it in this tenant.
principal() { # CLIENT_ID NAME
    local found=''
    case $1 in '<'*) ;; *) found=$(az ad sp list --filter "appId eq '$1'" --query '[].id' --output tsv) ;; esac
    [ -n "$found" ] || change "service principal of $2" az ad sp create --id "$1"
}

# Adds what is missing to the permissions an application asks for.
permissions() { # CLIENT_ID NAME RESOURCE WHAT ID...
    local app=$1 name=$2 resource=$3 what=$4 id listed
    local missing=()
    shift 4
    listed=$(of_app "$app" "requiredResourceAccess[?resourceAppId=='$resource'].resourceAccess[].id")
    for id in "$@"; do
        case $'\n'$listed$'\n' in *$'\n'"$id"$'\n'*) ;; *) missing+=("$id=Scope") ;; esac
    done
    [ ${#missing[@]} -eq 0 ] ||
        change "permission of $name: $what" az ad app permission add --id "$app" --api "$resource" --api-permissions "${missing[@]}"
}

# The id of a scope. To be assigned, not to be passed on as an argument: only so a failure ends the run.
scope_of() { # RESOURCE VALUE
    local id
    if $dry_run; then
        id=$(az ad sp list --filter "appId eq '$1'" --query '[].id' --output tsv)
        # Its service principal is one of the things that would be made.
        if [ -z "$id" ]; then
            printf '<id of %s>' "$2"
            return
        fi
    fi
    id=$(patiently az ad sp show --id "$1" --query "oauth2PermissionScopes[?value=='$2'].id | [0]" --output tsv)
    [ -n "$id" ] || fail "the application $1 exposes no scope $2 in this tenant"
    printf '%s' "$id"
}

# A part of `api`, which Azure CLI has no option for.
write_api() { patch_app "$1" "$2" "{\"api\":{$3}}"; } # WHAT CLIENT_ID JSON

patch_app() { # WHAT CLIENT_ID JSON
    local id='<object id>'
    case $2 in '<'*) ;; *) id=$(of_app "$2" id) ;; esac
    change "$1" az rest --method PATCH --url "${graph%/}/v1.0/applications/$id" --resource "$graph" \
        --headers 'Content-Type=application/json' --body "$3"
}

# A JSON list as Azure CLI gives it, with one more in it.
with() { # LIST ONE
    case ${1//[$' \n']/} in
    '' | '[]' | null) printf '[%s]' "$2" ;;
    *) printf '%s,%s]' "${1%]*}" "$2" ;;
    esac
}

short_hash() { { sha256sum 2>/dev/null || shasum -a 256; } | cut -c 1-12; }

guid() { { uuidgen 2>/dev/null || cat /proc/sys/kernel/random/uuid; } | tr '[:upper:]' '[:lower:]'; }

# By Graph itself: Azure CLI's own command takes users' consents away before it grants.
consent_for_all() { # CLIENT_ID NAME RESOURCE WHAT SCOPE...
    local client=$1 name=$2 resource=$3 what=$4 scope grant='' granted='' lacking=''
    local client_id='<object id>' resource_id='<object id>'
    shift 4
    case $client$resource in
    *'<'*) ;;
    *)
        client_id=$(patiently az ad sp show --id "$client" --query id --output tsv)
        resource_id=$(patiently az ad sp show --id "$resource" --query id --output tsv)
        grant=$(az ad app permission list-grants --id "$client" --output tsv \
            --query "[?consentType=='AllPrincipals' && resourceId=='$resource_id'].[id,scope] | [0]")
        granted=$(printf '%s' "$grant" | tr '\t\n' '  ')
        ;;
    esac
    for scope in "$@"; do
        case " $granted " in *" $scope "*) ;; *) lacking="$lacking $scope" ;; esac
    done
    [ -n "$lacking" ] || return 0
    local url="${graph%/}/v1.0/oauth2PermissionGrants" method=POST body
    if [ -n "$granted" ]; then
        method=PATCH url="$url/${granted%% *}"
        body="{\"scope\":\"${granted#* }$lacking\"}"
    else
        body="{\"clientId\":\"$client_id\",\"consentType\":\"AllPrincipals\",\"resourceId\":\"$resource_id\",\"scope\":\"${lacking# }\"}"
    fi
    change "consent for everybody: $name, $what" az rest --method "$method" --url "$url" --resource "$graph" \
        --headers 'Content-Type=application/json' --body "$body"
}

# A client secret, unless the file has the one that was made; sets `secret`.
client_secret() { # CLIENT_ID NAME KNOWN
    local there=''
    secret=$3
    if [ -n "$secret" ] && ! $new_secret; then
        return
    fi
    secret=''
    case $1 in '<'*) ;; *) there=$(of_app "$1" "passwordCredentials[?displayName=='register.sh'].keyId") ;; esac
    if [ -n "$there" ] && ! $new_secret; then
        fail "$2 has a client secret of register.sh already, which nobody can read again, and $env_file does not have it: --new-secret makes another"
    fi
    local reset=(az ad app credential reset --id "$1" --append --display-name register.sh --years 1)
    announce "client secret of $2, good for a year" "${reset[@]}"
    $dry_run || secret=$(patiently "${reset[@]}" --query password --output tsv)
}

say "tenant $tenant"
api=$(find_app "$api_name")
ui=$(find_app "$ui_name")
if [ -s "$env_file" ]; then
    known=$(setting AZURE_TENANT_ID)
    [ "$known" = "$tenant" ] ||
        usage_error "$env_file has the settings of another tenant, $known, and stays as it is: --env names another file"
    not_of_others "$api" AZURE_CLIENT_ID
    not_of_others "$ui" DEMO_UI_CLIENT_ID
fi
found_apps=()
[ -z "$api" ] || found_app "$api" "$api_name" AZURE_CLIENT_ID
[ -z "$ui" ] || found_app "$ui" "$ui_name" DEMO_UI_CLIENT_ID
# What the file has of these applications.
api_secret='' ui_secret=''
[ -z "$api" ] || [ "$(setting AZURE_CLIENT_ID)" != "$api" ] || {
    api_secret=$(setting AZURE_CLIENT_SECRET)
    api_secret=${api_secret:-$(setting '# AZURE_CLIENT_SECRET')}
}
[ -z "$ui" ] || [ "$(setting DEMO_UI_CLIENT_ID)" != "$ui" ] || ui_secret=$(setting DEMO_UI_CLIENT_SECRET)

# The settings. All in quotes: the file is read by shells.
settings() {
    local id
    cat <<END
# Settings of obo-gateway, demo-backend and demo-ui, written by register.sh. Keep it to yourself: secrets are in it.
AZURE_TENANT_ID='$tenant'
AZURE_AUTHORITY_HOST='${authority%/}'
ARM_URL='${arm%/}'
# The gateway is the API.
AZURE_CLIENT_ID='$api'
OBO_SCOPE='access_as_user'
END
    case $credential in
    secret) printf "AZURE_CLIENT_SECRET='%s'\n" "$api_secret" ;;
    certificate) printf "# With its private key.\nOBO_CLIENT_CERTIFICATE='%s'\n" "$certificate" ;;
    federated) printf "# Where the token of the service account is.\nOBO_FEDERATED_TOKEN_FILE='%s'\n" "$token_file" ;;
    esac
    # Nobody can read it again.
    if [ "$credential" != secret ] && [ -n "$api_secret" ]; then
        printf "# Not used now, and good until it ends.\n# AZURE_CLIENT_SECRET='%s'\n" "$api_secret"
    fi
    cat <<END
# The web app.
DEMO_UI_CLIENT_ID='$ui'
DEMO_UI_API_CLIENT_ID='$api'
DEMO_UI_PUBLIC_URL='$ui_url'
DEMO_UI_CLIENT_SECRET='$ui_secret'
# For deploy/compose.tenant.yaml.
API_CLIENT_ID='$api'
UI_CLIENT_ID='$ui'
END
    for id in ${found_apps[@]+"${found_apps[@]}"}; do
        printf '%s %s\n' "$FOUND_HERE" "$id"
    done
}
authority=$(az cloud show --query endpoints.activeDirectory --output tsv)
arm=$(az cloud show --query endpoints.resourceManager --output tsv)
token_file=$(setting OBO_FEDERATED_TOKEN_FILE)
token_file=${token_file:-/var/run/secrets/azure/tokens/azure-identity-token}

written_before=false written_aside=''
trap '[ -z "$written_aside" ] || rm -f -- "$written_aside"' EXIT
write_settings() {
    local written
    written=$(settings)
    if [ -f "$env_file" ] && [ "$written" = "$(cat "$env_file")" ]; then
        return
    fi
    if ! $written_before; then
        written_before=true
        changes=$((changes + 1))
        if $dry_run; then say "would  write $env_file"; else say "       $env_file, for its owner alone"; fi
    fi
    if $dry_run; then return; fi
    # Of a name that nobody else knows, and its owner's alone from the start.
    written_aside=$(mktemp "$env_file.XXXXXX")
    printf '%s\n' "$written" >"$written_aside"
    mv -- "$written_aside" "$env_file"
    written_aside=''
}

# The API.
if [ -z "$api" ]; then
    make_app "the API $api_name, with tokens of version 2" '<API>' --display-name "$api_name" \
        --sign-in-audience AzureADMyOrg --requested-access-token-version 2
    api=$made
    write_settings
fi
principal "$api" "$api_name"
version=$(of_app "$api" api.requestedAccessTokenVersion)
if [ "$version" != 2 ] && [ "$api" != '<API>' ]; then
    change "$api_name is called with tokens of version 2" az ad app update --id "$api" --requested-access-token-version 2
fi
uris=$(of_app "$api" 'identifierUris[]')
case $'\n'$uris$'\n' in
*$'\n'"api://$api"$'\n'*) ;;
*)
    # shellcheck disable=SC2086
    change "$api_name is called api://$api" az ad app update --id "$api" --identifier-uris $uris "api://$api"
    ;;
esac
scope=$(of_app "$api" "api.oauth2PermissionScopes[?value=='access_as_user' && isEnabled].id | [0]")
if [ -z "$scope" ]; then
    scopes=''
    [ "$api" = '<API>' ] || scopes=$(az ad app show --id "$api" --query api.oauth2PermissionScopes --output json)
    scope=$(guid)
    write_api "$api_name has the scope access_as_user" "$api" "\"oauth2PermissionScopes\":$(with "$scopes" "{
        \"id\": \"$scope\", \"value\": \"access_as_user\", \"type\": \"User\", \"isEnabled\": true,
        \"adminConsentDisplayName\": \"Access $api_name\",
        \"adminConsentDescription\": \"Allow the application to access $api_name on behalf of the signed-in user.\",
        \"userConsentDisplayName\": \"Access $api_name\",
        \"userConsentDescription\": \"Allow the application to access $api_name on your behalf.\"}")"
fi
principal "$AZURE_SERVICE_MANAGEMENT" 'Azure Service Management'
impersonation=$(scope_of "$AZURE_SERVICE_MANAGEMENT" user_impersonation)
permissions "$api" "$api_name" "$AZURE_SERVICE_MANAGEMENT" 'Azure Service Management, user_impersonation' "$impersonation"

# The web app.
callbacks=("$ui_url/account/callback" "$ui_url/")
if [ -z "$ui" ]; then
    make_app "the web app $ui_name, sign-in at ${callbacks[0]}" '<web app>' --display-name "$ui_name" \
        --sign-in-audience AzureADMyOrg --web-redirect-uris "${callbacks[@]}"
    ui=$made
    write_settings
else
    redirects=$(of_app "$ui" 'web.redirectUris[]')
    missing=()
    for uri in "${callbacks[@]}"; do
        case $'\n'$redirects$'\n' in *$'\n'"$uri"$'\n'*) ;; *) missing+=("$uri") ;; esac
    done
    if [ ${#missing[@]} -gt 0 ]; then
        # shellcheck disable=SC2086
        change "sign-in of $ui_name at ${callbacks[0]}" az ad app update --id "$ui" --web-redirect-uris $redirects "${missing[@]}"
    fi
fi
principal "$ui" "$ui_name"
permissions "$ui" "$ui_name" "$api" "$api_name, access_as_user" "$scope"
openid=()
for permission in openid profile offline_access; do
    id=$(scope_of "$MICROSOFT_GRAPH" $permission)
    openid+=("$id")
done
permissions "$ui" "$ui_name" "$MICROSOFT_GRAPH" 'Microsoft Graph, openid profile offline_access' "${openid[@]}"

# One consent at the first sign-in covers both.
known=''
[ "$api" = '<API>' ] || known=$(az ad app show --id "$api" --query api.knownClientApplications --output json)
case $known in
*"$ui"*) ;;
*) write_api "$api_name knows $ui_name: one consent covers both" "$api" "\"knownClientApplications\":$(with "$known" "\"$ui\"")" ;;
esac

# Credentials. Each secret is written as soon as it is there: nobody can read it again.
case $credential in
secret)
    client_secret "$api" "$api_name" "$api_secret"
    api_secret=$secret
    write_settings
    ;;
certificate)
    registered=$(of_app "$api" 'keyCredentials[].customKeyIdentifier')
    case $(printf '%s' "$registered" | tr '[:lower:]' '[:upper:]') in
    *"$thumbprint"*) ;;
    *)
        # The certificate goes there alone, without a private key that is in the same file.
        public='<the certificate alone>'
        if ! $dry_run; then
            public=$(mktemp)
            openssl x509 -in "$certificate" -out "$public"
        fi
        change "certificate of $api_name, thumbprint $thumbprint" az ad app credential reset --id "$api" --append \
            --display-name register.sh --cert "@$public"
        $dry_run || rm -f "$public"
        ;;
    esac
    ;;
federated)
    there=''
    case $api in '<'*) ;; *)
        there=$(az ad app federated-credential list --id "$api" \
            --query "[?issuer=='$issuer' && subject=='$subject'].[id, audiences[0]] | [0]" --output tsv)
        there=${there//[$'\t\n']/ }
        ;;
    esac
    # Issuer and subject are there once, and the name is, too: another cluster has the same subjects.
    if [ -n "$there" ]; then
        [ "${there#* }" = "$audience" ] ||
            change "audience of $subject at $api_name: $audience" az ad app federated-credential update --id "$api" \
                --federated-credential-id "${there%% *}" --parameters "{\"audiences\":[\"$audience\"]}"
    else
        name=$(printf '%s' "$subject" | tr -c 'A-Za-z0-9\n' '-' | cut -c 1-107)-$(printf '%s\n%s' "$issuer" "$subject" | short_hash)
        change "federated credential of $api_name: $subject" az ad app federated-credential create --id "$api" --parameters \
            "{\"name\":\"$name\",\"issuer\":\"$issuer\",\"subject\":\"$subject\",\"audiences\":[\"$audience\"]}"
    fi
    ;;
esac
client_secret "$ui" "$ui_name" "$ui_secret"
ui_secret=$secret
write_settings
# What others could read is no place for a secret, whoever made the file.
$dry_run || chmod 600 "$env_file"

# Last, since it needs more rights than the rest.
if $consent; then
    consent_for_all "$ui" "$ui_name" "$api" "$api_name" access_as_user
    consent_for_all "$ui" "$ui_name" "$MICROSOFT_GRAPH" 'Microsoft Graph' openid profile offline_access
    consent_for_all "$api" "$api_name" "$AZURE_SERVICE_MANAGEMENT" 'Azure Service Management' user_impersonation
fi

say "$api_name  $api"
say "$ui_name  $ui"
if $dry_run; then
    say "This was a dry run: nothing was changed. $changes changes would be made."
elif [ "$changes" -eq 0 ]; then
    say 'Nothing was changed: all of it was there.'
else
    say "Done: $changes changes."
    $consent || say 'Each user consents at the first sign-in, where the tenant allows it; --admin-consent does for everybody.'
fi
